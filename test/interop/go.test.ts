import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { toBase64 } from '../../src/bytes.ts'
import { publicKeyOf, type SigningKey, signSync } from '../../src/crypto/sign.ts'
import { encodeNote, parseNote } from '../../src/verify/checkpoint.ts'
import { cosign, cosignerName } from '../../src/verify/cosignature.ts'
import { encodeVerifierKey } from '../../src/verify/note-key.ts'
import { proveInclusion } from '../../src/verify/prove.ts'
import { bytesOf, LogBuilder } from '../helpers/log-builder.ts'
import { storeOf } from '../verify/naive-merkle.ts'

const PROGRAM = fileURLToPath(new URL('./check.go', import.meta.url))
/** Where Debian's golang-golang-x-mod-dev puts its sources. */
const GOPATH = '/usr/share/gocode'
const PACKAGES = join(GOPATH, 'src/golang.org/x/mod/sumdb')
const REQUIRED = (process.env.SEALOG_REQUIRE ?? '').split(',').includes('go')

function missing(): string | undefined {
  if (spawnSync('go', ['version']).status !== 0) return 'go is not installed (Debian: golang-go)'
  return existsSync(PACKAGES) ? undefined : `${PACKAGES} is missing (Debian: golang-golang-x-mod-dev)`
}

interface Verdicts {
  readonly notes: readonly string[]
  readonly logs: readonly boolean[]
  readonly records: readonly boolean[]
  readonly trees: readonly boolean[]
}

/** A case, and what Go must say to it. Bytes are base64, as Go's JSON has them. */
interface Case<T> {
  readonly fields: object
  readonly expected: T
}

interface Cases {
  readonly notes: readonly Case<string>[]
  readonly logs: readonly Case<boolean>[]
  readonly records: readonly Case<boolean>[]
  readonly trees: readonly Case<boolean>[]
}

function judgeWithGo(cases: Cases): Verdicts {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-go-'))
  try {
    const input = join(folder, 'cases.json')
    const fields = Object.entries(cases).map(([name, list]) => [name, list.map((item: Case<unknown>) => item.fields)])
    writeFileSync(input, JSON.stringify(Object.fromEntries(fields)))
    const env = { ...process.env, GO111MODULE: 'off', GOPATH, GOFLAGS: '', GOCACHE: join(folder, 'cache') }
    const output = execFileSync('go', ['run', PROGRAM, input], { env, encoding: 'utf8' })
    return JSON.parse(output) as Verdicts
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

// -- Cases --------------------------------------------------------------------------------------------------------

const SIZES = [1, 2, 7, 8, 33]
const { log, writer } = LogBuilder.withWriter()
while (log.size < Math.max(...SIZES)) log.append(log.changes(log.size % 3 === 0 ? log.owner : writer))
const nodeAt = storeOf(log.entries.map(entry => entry.hash))

const flip = (bytes: Uint8Array, at: number = bytes.length >> 1): Uint8Array =>
  bytes.with(at, (bytes[at] as number) ^ 1)

function logCases(): Case<boolean>[] {
  return SIZES.flatMap(size => {
    const leaves = log.entries.slice(0, size).map(entry => toBase64(entry.header))
    return [
      { fields: { leaves, root: toBase64(log.rootAt(size)) }, expected: true },
      { fields: { leaves, root: toBase64(flip(log.rootAt(size))) }, expected: false },
    ]
  })
}

function recordCases(): Case<boolean>[] {
  const record = (size: number, index: number, change: object = {}) => ({
    size,
    root: toBase64(log.rootAt(size)),
    index,
    leaf: toBase64(log.entries[index]?.header ?? new Uint8Array(0)),
    proof: proveInclusion(index, size, nodeAt).map(toBase64),
    ...change,
  })
  return SIZES.flatMap(size =>
    [0, 1, size >> 1, size - 1].flatMap(index => {
      if (index >= size) return []
      const { leaf, root, proof } = record(size, index)
      const changes: object[] = [
        { leaf: toBase64(flip(log.entries[index]?.header as Uint8Array)) },
        { root: toBase64(flip(log.rootAt(size))) },
        { proof: [...proof, root] },
      ]
      if (proof.length > 0) changes.push({ proof: proof.slice(1) }, { proof: [leaf.slice(0, 44), ...proof.slice(1)] })
      return [
        { fields: record(size, index), expected: true },
        ...changes.map(change => ({ fields: record(size, index, change), expected: false })),
      ]
    }),
  )
}

function treeCases(): Case<boolean>[] {
  const tree = (size1: number, size2: number, change: object = {}) => ({
    size1,
    root1: toBase64(log.rootAt(size1)),
    size2,
    root2: toBase64(log.rootAt(size2)),
    proof: log.consistency(size1, size2).map(toBase64),
    ...change,
  })
  return SIZES.flatMap(size2 =>
    [1, 2, 3, 6, 7, 8, 20, 32].flatMap(size1 => {
      if (size1 >= size2) return []
      const { proof } = tree(size1, size2)
      const changes: object[] = [
        { root1: toBase64(flip(log.rootAt(size1))) },
        { root2: toBase64(flip(log.rootAt(size2))) },
        { proof: proof.slice(1) },
        { proof: [...proof, proof[0]] },
        { proof: [toBase64(flip(log.consistency(size1, size2)[0] as Uint8Array)), ...proof.slice(1)] },
      ]
      return [
        { fields: tree(size1, size2), expected: true },
        ...changes.map(change => ({ fields: tree(size1, size2, change), expected: false })),
      ]
    }),
  )
}

function signingKey(label: string): SigningKey {
  const seed = bytesOf(label)
  return { publicKey: publicKeyOf(seed), sign: async message => signSync(seed, message) }
}

async function noteCases(): Promise<Case<string>[]> {
  const { origin } = log.checkpoint()
  const verifier = encodeVerifierKey(origin, log.relay.key)
  const devices = [0, 2].map(number => ({ number, key: signingKey(`device ${number}`) }))
  const cosigners = devices.map(({ number, key }) => ({
    name: cosignerName(log.space, number),
    key: toBase64(key.publicKey),
  }))
  const fields = (note: Uint8Array, change: object = {}) => ({ note: toBase64(note), verifier, cosigners, ...change })
  const cases: Case<string>[] = []
  for (const size of SIZES) {
    const plain = log.note(log.checkpoint(size))
    const { checkpoint, signatures, text } = parseNote(plain)
    const lines = await Promise.all(
      devices.map(({ number, key }, i) => cosign(text, log.space, number, 1_700_000_000 + i, key)),
    )
    const cosigned = encodeNote(checkpoint, [...signatures, ...lines])
    const names = [origin, ...cosigners.map(cosigner => cosigner.name)].sort()
    cases.push(
      { fields: fields(plain), expected: origin },
      { fields: fields(cosigned), expected: names.join(' ') },
      { fields: fields(cosigned, { cosigners: [] }), expected: origin },
      { fields: fields(flip(plain, origin.length + 5)), expected: '' },
      { fields: fields(flip(cosigned, cosigned.length - 12)), expected: '' },
      { fields: fields(log.note(log.checkpoint(size), bytesOf('not the relay'))), expected: '' },
    )
    // A time that was not signed: the last byte of the eight behind the key hash.
    const later = lines.map(line => ({ ...line, signature: flip(line.signature, 7) }))
    cases.push({ fields: fields(encodeNote(checkpoint, [...signatures, ...later])), expected: '' })
  }
  return cases
}

// -- Verdicts -----------------------------------------------------------------------------------------------------

describe('an implementation that is not ours', () => {
  const lack = missing()
  if (lack !== undefined) {
    it(`needs Go: ${lack}`, context => {
      if (REQUIRED) throw new Error(lack)
      context.skip(lack)
    })
    return
  }

  let cases: Cases
  let verdicts: Verdicts
  beforeAll(async () => {
    cases = { notes: await noteCases(), logs: logCases(), records: recordCases(), trees: treeCases() }
    verdicts = judgeWithGo(cases)
  }, 180_000)

  it.each([
    ['notes', 'opens our checkpoints and cosignatures, and no other (R-NOTE-3)'],
    ['logs', 'comes to our roots from our headers (R-TREE-1)'],
    ['records', 'accepts our inclusion proofs, and none that was tampered with'],
    ['trees', 'accepts our consistency proofs, and none that was tampered with'],
  ] as const)('%s: Go %s', (kind, _promise) => {
    const expected: readonly unknown[] = cases[kind].map(item => item.expected)
    expect(verdicts[kind]).toEqual(expected)
    expect(new Set(expected.map(Boolean))).toEqual(new Set([true, false]))
  })
})
