import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toBase64, toHex } from '../../src/bytes.ts'
import { runCommand } from '../../src/cli/command-node.ts'
import { checkpointsEvidence, inconsistencyEvidence, transitionEvidence } from '../../src/verify/build-evidence.ts'
import { encodeVerifierKey } from '../../src/verify/note-key.ts'
import { proveInclusion } from '../../src/verify/prove.ts'
import { bytesOf, LogBuilder } from '../helpers/log-builder.ts'
import { storeOf } from '../verify/naive-merkle.ts'

const folder = mkdtempSync(join(tmpdir(), 'sealog-cli-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const { log, writer } = LogBuilder.withWriter()
while (log.size < 9) log.append(log.changes(writer))
const ORIGIN = log.checkpoint().origin
const KEY = toHex(log.relay.key)
const VKEY = encodeVerifierKey(ORIGIN, log.relay.key)
const ACCUSED = { relay: log.relay, space: log.space }
const LIE = log.note({ ...log.checkpoint(5), root: bytesOf('root') })

function file(name: string, content: Uint8Array | string | object): string {
  const path = join(folder, name)
  const isText = typeof content === 'string' || content instanceof Uint8Array
  writeFileSync(path, isText ? content : JSON.stringify(content))
  return path
}

const note5 = file('note-5', log.note(log.checkpoint(5)))
const note9 = file('note-9', log.note())
const lie5 = file('lie-5', LIE)
const evidence = file('evidence', checkpointsEvidence(ACCUSED, [log.note(log.checkpoint(5)), LIE]))

const nodeAt = storeOf(log.entries.map(entry => entry.hash))
const inclusionFields = {
  type: 'inclusion',
  index: 3,
  size: 9,
  header: toHex(log.entries[3]?.header ?? new Uint8Array(0)),
  proof: proveInclusion(3, 9, nodeAt).map(toHex),
}
const consistencyFields = { type: 'consistency', size1: 5, size2: 9, proof: log.consistency(5, 9).map(toBase64) }
const inclusion = file('inclusion', inclusionFields)
const consistency = file('consistency', consistencyFields)

/** @returns status, stdout and stderr, like a shell */
async function sealog(...args: readonly string[]) {
  let out = ''
  let error = ''
  const status = await runCommand(args, {
    out: text => {
      out += text
    },
    error: text => {
      error += text
    },
  })
  return { status, out, error }
}

async function statusOf(...args: readonly string[]): Promise<number> {
  return (await sealog(...args)).status
}

describe('sealog verify', () => {
  it('judges evidence, and says that 0 is bad news about the relay', async () => {
    const { status, out, error } = await sealog('verify', evidence)
    expect({ status, error }).toEqual({ status: 0, error: '' })
    expect(out).toBe(
      [
        'evidence of kind checkpoints',
        `  origin: ${ORIGIN}`,
        `  relay key: ${KEY}`,
        `  verifier key: ${VKEY}`,
        '  ✓ the relay signed a log of 5 entries and one of 5',
        '  ✓ it signed two roots for 5 entries',
        'holds: the evidence holds: the holder of this relay key contradicted itself, by its own signatures',
        '',
      ].join('\n'),
    )
  })

  it('finds an honest relay innocent, and takes evidence for no more than it is', async () => {
    const honest = checkpointsEvidence(ACCUSED, [log.note(), log.note(log.checkpoint(5))])
    expect(await statusOf('verify', file('honest', honest))).toBe(1)
    expect(
      await statusOf('verify', file('entries', transitionEvidence(log.emptyView(), undefined, [log.batch(0)], [], []))),
    ).toBe(1)
    expect(await statusOf('verify', file('cut', honest.slice(0, 100)))).toBe(2)
  })

  it('finds evidence against another relay, or about another space, to be none', async () => {
    expect(await statusOf('verify', '--key', KEY, '--origin', ORIGIN, evidence)).toBe(0)
    expect(await statusOf('verify', '--key', VKEY, evidence)).toBe(0)
    const other = await sealog('verify', '--key', toHex(bytesOf('other')), evidence)
    expect(other.status).toBe(1)
    expect(other.out).toContain('✗ but it accuses another relay key than the one given')
    expect(await statusOf('verify', '--origin', ORIGIN.replace('relay', 'other'), evidence)).toBe(1)
  })

  it('judges a checkpoint by the key of its relay', async () => {
    for (const key of [KEY, VKEY]) expect(await statusOf('verify', '--key', key, note9)).toBe(0)
    expect(await statusOf('verify', '--key', KEY, '--origin', ORIGIN, note9)).toBe(0)
    expect(await statusOf('verify', '--key', KEY, '--origin', `${ORIGIN}0`, note9)).toBe(1)
    expect(await statusOf('verify', '--key', toHex(bytesOf('other')), note9)).toBe(1)
    const forged = file('forged', log.note(log.checkpoint(), bytesOf('not the relay')))
    expect(await statusOf('verify', '--key', KEY, forged)).toBe(1)
    const without = await sealog('verify', note9)
    expect(without.status).toBe(2)
    expect(without.out).toContain('--key is missing')
  })

  it('judges an inclusion proof, by itself and with a checkpoint', async () => {
    expect(await statusOf('verify', '--key', KEY, inclusion, note9)).toBe(0)
    expect(await statusOf('verify', inclusion)).toBe(2)
    const root = toBase64(log.rootAt(9))
    expect(await statusOf('verify', file('own-root', { ...inclusionFields, root }))).toBe(0)
    const { header: _, ...rest } = inclusionFields
    const leaf = toHex(log.entries[3]?.hash ?? new Uint8Array(0))
    expect(await statusOf('verify', file('leaf', { ...rest, leaf, root }))).toBe(0)
    expect(await statusOf('verify', file('index', { ...inclusionFields, index: 4, root }))).toBe(1)
    expect(await statusOf('verify', file('short', { ...inclusionFields, proof: [], root }))).toBe(1)
    const other = file('other-root', { ...inclusionFields, root: toHex(bytesOf('root')) })
    expect(await statusOf('verify', '--key', KEY, other, note9)).toBe(1)
    expect(await statusOf('verify', '--key', KEY, inclusion, note5)).toBe(2)
  })

  it('judges a consistency proof, and two checkpoints with it', async () => {
    const roots = { root1: toHex(log.rootAt(5)), root2: toHex(log.rootAt(9)) }
    expect(await statusOf('verify', file('roots', { ...consistencyFields, ...roots }))).toBe(0)
    expect(await statusOf('verify', '--key', KEY, note5, note9, consistency)).toBe(0)
    expect(await statusOf('verify', '--key', KEY, consistency, note9, note5)).toBe(0)
    expect(await statusOf('verify', '--key', KEY, consistency, lie5, note9)).toBe(1)
    const cut = file('cut-proof', { ...consistencyFields, proof: consistencyFields.proof.slice(1) })
    expect(await statusOf('verify', '--key', KEY, cut, note5, note9)).toBe(1)
  })

  it('judges two checkpoints: contradictory, the same, or undecided without a proof', async () => {
    const contradictory = await sealog('verify', '--key', KEY, note5, lie5)
    expect(contradictory.status).toBe(1)
    expect(contradictory.out).toContain('it signed two roots for 5 entries')
    expect(await statusOf('verify', '--key', KEY, note5, note5)).toBe(0)
    expect(await statusOf('verify', '--key', KEY, note5, note9)).toBe(2)
    const elsewhere = new LogBuilder({ relayName: 'other.test' })
    elsewhere.append(elsewhere.genesis())
    expect(await statusOf('verify', '--key', KEY, note5, file('elsewhere', elsewhere.note()))).toBe(1)
  })

  it('prints one JSON object on --json', async () => {
    const { status, out } = await sealog('verify', '--json', evidence)
    expect(status).toBe(0)
    expect(JSON.parse(out)).toMatchObject({
      verdict: 'holds',
      subject: 'evidence of kind checkpoints',
      facts: { origin: ORIGIN, 'relay key': KEY },
      steps: ['the relay signed a log of 5 entries and one of 5', 'it signed two roots for 5 entries'],
    })
    const unusable = await sealog('verify', '--json', file('garbage', 'garbage'))
    expect(unusable.status).toBe(2)
    expect(JSON.parse(unusable.out)).toMatchObject({ verdict: 'unusable' })
  })
})

describe('sealog inspect', () => {
  it('prints what a file says of itself', async () => {
    const { status, out } = await sealog('inspect', note9)
    expect(status).toBe(0)
    expect(out).toContain(`  origin: ${ORIGIN}\n  size: 9\n`)
    expect(out).toContain('a checkpoint, not verified')
    const claims = {
      checkpoints: evidence,
      inconsistency: file(
        'inconsistency',
        inconsistencyEvidence(ACCUSED, {
          smaller: log.note(log.checkpoint(5)),
          larger: log.note(),
          root: log.rootAt(5),
          proof: log.consistency(5, 9),
        }),
      ),
      transition: file('transition', transitionEvidence(log.emptyView(), undefined, [log.batch(0)], [], [])),
    }
    for (const [kind, path] of Object.entries(claims)) {
      const report = await sealog('inspect', '--json', path)
      expect(JSON.parse(report.out)).toMatchObject({
        subject: `evidence of kind ${kind}, not judged`,
        facts: { origin: ORIGIN, 'note 1 origin': ORIGIN },
      })
    }
    expect((await sealog('inspect', inclusion)).out).toContain('  index: 3\n')
    expect((await sealog('inspect', consistency)).out).toContain('  larger size: 9\n')
  })
})

describe('what cannot be judged is status 2 with one line, and no more', () => {
  beforeAll(() => {
    truncateSync(file('huge', ''), 33 * 1024 * 1024)
    execFileSync('mkfifo', [join(folder, 'pipe')])
  })

  it.each([
    ['no command', []],
    ['an unknown command', ['prove', 'x']],
    ['no file', ['verify']],
    ['an unknown flag', ['verify', '--force', 'x']],
    ['a flag without its value', ['verify', '--key']],
    ['a missing file', ['verify', join(folder, 'nowhere')]],
    ['a folder', ['verify', folder]],
    ['a pipe that nobody writes to', ['verify', join(folder, 'pipe')]],
    ['a device without end', ['verify', '/dev/zero']],
    ['a file that is too long', ['verify', join(folder, 'huge')]],
    ['too many files', ['verify', 'a', 'b', 'c', 'd']],
    ['a key that is none', ['verify', '--key', 'key', note9]],
    ['two origins', ['verify', '--key', VKEY, '--origin', 'other', note9]],
    ['two files to inspect', ['inspect', note5, note9]],
    ['a key to inspect with', ['inspect', '--key', KEY, note9]],
    ['garbage to inspect', ['inspect', file('noise', bytesOf('noise'))]],
  ])('%s', async (_, args) => {
    const { status, out, error } = await sealog(...args)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(error).toMatch(/^sealog: [^\n]+\n$/)
  })

  it.each([
    ['nothing', ''],
    ['noise', bytesOf('noise')],
    ['JSON that is no proof', { type: 'membership' }],
    ['JSON cut short', '{"type": "inclusion"'],
    ['JSON without end', '{"a":'.repeat(20_000)],
    ['JSON that is too long', `{"type":"${'x'.repeat(100_000)}"}`],
    ['a misspelt field', { ...inclusionFields, sizes: 9 }],
    ['a leaf and a header', { ...inclusionFields, leaf: KEY }],
    ['an index beyond 2⁵³', { ...inclusionFields, index: 2 ** 53 }],
    ['a hash of 31 bytes', { ...consistencyFields, root1: KEY.slice(2) }],
    ['a proof of 65 hashes', { ...consistencyFields, proof: Array(65).fill(KEY) }],
    ['a checkpoint cut short', log.note().slice(0, -5)],
  ])('%s', async (_, content) => {
    const { status, out, error } = await sealog('verify', '--key', KEY, file('stranger', content))
    expect({ status, error }).toEqual({ status: 2, error: '' })
    expect(out).toMatch(/^files\n {2}✗ [^\n]+\nunusable: [^\n]+\n$/)
  })

  it('evidence together with something else', async () => {
    expect(await statusOf('verify', '--key', KEY, evidence, note5)).toBe(2)
    expect(await statusOf('verify', '--key', KEY, note5, evidence)).toBe(2)
    expect(await statusOf('verify', inclusion, consistency)).toBe(2)
  })

  it('whatever bytes there are in the files', async () => {
    const starts = fc.constantFrom('', '{', '{"type":"inclusion",', `${ORIGIN}\n`, '\x86\x6fsealog/evidence')
    await fc.assert(
      fc.asyncProperty(starts, fc.uint8Array({ maxLength: 100 }), async (start, rest) => {
        const content = Uint8Array.from([...start].map(char => char.charCodeAt(0)).concat([...rest]))
        const { status, out, error } = await sealog('verify', '--key', KEY, file('fuzz', content))
        expect({ status, error }).toEqual({ status: 2, error: '' })
        // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may reach a terminal
        expect(out).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/)
      }),
      { numRuns: 100 },
    )
  })

  it('a relay whose name would colour the verdict', async () => {
    const name = 'relay\u009b31m\u202e'
    const { out } = await sealog(
      'verify',
      file('name', checkpointsEvidence({ ...ACCUSED, relay: { ...log.relay, name } }, [LIE, LIE])),
    )
    expect(out).toContain('relay\\u{9b}31m\\u{202e}')
    expect(out).not.toContain('\u009b')
  })
})

it('sealog --help explains the exit status', async () => {
  const { status, out } = await sealog('--help')
  expect(status).toBe(0)
  expect(out).toContain('the evidence holds: the relay DID contradict itself')
})
