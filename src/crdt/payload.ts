import { toHex } from '../bytes.ts'
import { asBytes, asBytesUpTo, asTuple, asUint, decodeCbor, encodeCbor } from '../codec.ts'
import { SealogError } from '../errors.ts'
import { DEFAULT_LIMITS } from './guard/rules.ts'
import { sameOps } from './guard/same-ops.ts'
import type { ChangesEncoding, GuardRules, InspectedOps } from './guard.ts'
import { inspect } from './guard.ts'

/** The plaintext of an entry of kind `changes` (DESIGN §6.1). */
export interface ChangesPayload {
  readonly encoding: ChangesEncoding
  /** Hash of the actor's latest change, 32 bytes: what the header's tag commits to. */
  readonly latestHash: Uint8Array
  readonly latestSeq: number
  /** Number of changes, at least 1. */
  readonly count: number
  /** Change chunks one after the other, or one bundle. */
  readonly chunks: Uint8Array
}

/** The only kind of payload there is in an entry of kind `changes`; others make an old build stop. */
const VERSION = 0
const ENCODINGS: readonly ChangesEncoding[] = ['raw', 'bundle']
/** What surrounds the chunks in CBOR: at most 64 bytes. */
const OVERHEAD = 64

/** Largest payload in bytes. */
export const MAX_CHANGES_PAYLOAD: number = DEFAULT_LIMITS.maxBytes + OVERHEAD

/** `[0, encoding, latestHash, latestSeq, count, chunks]` in deterministic CBOR. */
export function encodeChangesPayload(payload: ChangesPayload): Uint8Array {
  const { encoding, latestHash, latestSeq, count, chunks } = payload
  return encodeCbor([VERSION, ENCODINGS.indexOf(encoding), latestHash, latestSeq, count, chunks])
}

/**
 * The inverse. What `chunks` holds is for the guard to judge.
 * @throws SealogError ERR_UPGRADE for a version or encoding of a later build, ERR_MALFORMED, ERR_LIMIT
 */
export function decodeChangesPayload(bytes: Uint8Array): ChangesPayload {
  const value = decodeCbor(bytes, MAX_CHANGES_PAYLOAD)
  const version = Array.isArray(value) ? value[0] : undefined
  if (typeof version === 'number' && version !== VERSION)
    throw new SealogError('ERR_UPGRADE', `changes of version ${version}`)
  const [zero, code, latestHash, latestSeq, count, chunks] = asTuple(value, 6, 'changes')
  asUint(zero, 'version', VERSION)
  const encoding = ENCODINGS[asUint(code, 'encoding')]
  if (encoding === undefined) throw new SealogError('ERR_UPGRADE', `changes in encoding ${String(code)}`)
  const payload: ChangesPayload = {
    encoding,
    latestHash: asBytes(latestHash, 32, 'latest hash'),
    latestSeq: asUint(latestSeq, 'latest seq'),
    count: asUint(count, 'count', DEFAULT_LIMITS.maxChanges),
    chunks: asBytesUpTo(chunks, DEFAULT_LIMITS.maxBytes, 'chunks'),
  }
  if (payload.count < 1 || payload.count > payload.latestSeq)
    throw new SealogError('ERR_MALFORMED', 'count: out of range')
  return payload
}

/** An own change on its way into the log. */
export interface UnsentChange {
  readonly seq: number
  /** 32 bytes. */
  readonly hash: Uint8Array
  /** A raw change chunk. */
  readonly bytes: Uint8Array
}

/** What can make a bundle: the backend of an Automerge document that holds the changes (`Automerge.getBackend`). */
export interface BundleSource {
  saveBundle(hashes: string[]): Uint8Array
}

export interface BuildPayloadOptions {
  /** Author of the changes, in hex. */
  readonly actor: string
  /** Hash of the change before the first one, 32 bytes; needed unless that has seq 1. */
  readonly previousHash?: Uint8Array | undefined
  /** Payloads larger than this are split where they hold several changes. Default 1 MiB. */
  readonly splitAbove?: number
  /** Changes in one payload. Default 1,024: a replica applies an entry whole or not at all. */
  readonly maxChanges?: number
}

/** A payload ready to be sealed. */
export interface BuiltPayload {
  readonly bytes: Uint8Array
  readonly latestHash: Uint8Array
  readonly latestSeq: number
  readonly count: number
}

/** Below this, raw chunks are smaller than a bundle of the same changes (measured: from four keystrokes on). */
const BUNDLE_FROM_CHANGES = 4
/** A single change of this many bytes holds columns that a bundle deflates. */
const BUNDLE_FROM_BYTES = 1024
const DEFAULT_SPLIT = 1024 * 1024
const DEFAULT_MAX_CHANGES = 1_024

/**
 * Packs own changes into as few payloads as the limits allow, each in the smaller encoding.
 *
 * A bundle goes out only if it decodes to exactly the operations and metadata of the changes it stands for, which
 * determine their hashes; otherwise the raw chunks do. (Automerge calls its bundles experimental, and a bundle of
 * other content would end the author's chain on every replica.)
 * @param changes in order of seq, without gaps
 * @throws TypeError for changes out of order or listed twice
 * @throws SealogError ERR_GUARD for changes that no replica would take, ERR_LIMIT for a change that no payload holds
 */
export function buildChangesPayloads(
  source: BundleSource,
  changes: readonly UnsentChange[],
  options: BuildPayloadOptions,
): readonly BuiltPayload[] {
  changes.forEach((change, i) => {
    if (change.seq !== (changes[0] as UnsentChange).seq + i) throw new TypeError('changes: not in order of seq')
  })
  if (new Set(changes.map(change => toHex(change.hash))).size !== changes.length)
    throw new TypeError('changes: listed twice')
  const splitAbove = options.splitAbove ?? DEFAULT_SPLIT
  const maxChanges = options.maxChanges ?? DEFAULT_MAX_CHANGES
  const payloads: BuiltPayload[] = []
  let start = 0
  let length = maxChanges
  while (start < changes.length) {
    const group = changes.slice(start, start + length)
    const previousHash = start === 0 ? options.previousHash : (changes[start - 1] as UnsentChange).hash
    const payload = build(source, group, {
      actor: options.actor,
      nextSeq: (group[0] as UnsentChange).seq,
      previousHash,
    })
    if (payload.bytes.length > splitAbove && group.length > 1) {
      length = Math.ceil(group.length / 2)
      continue
    }
    if (payload.bytes.length > MAX_CHANGES_PAYLOAD) {
      throw new SealogError('ERR_LIMIT', 'a change that is too large for one entry', {
        details: { limit: MAX_CHANGES_PAYLOAD },
      })
    }
    payloads.push(payload)
    start += group.length
    length = maxChanges
  }
  return payloads
}

function build(source: BundleSource, group: readonly UnsentChange[], rules: GuardRules): BuiltPayload {
  const raw = join(group.map(change => change.bytes))
  const inspected = inspect(raw, { ...rules, encoding: 'raw' })
  const worthwhile = group.length >= BUNDLE_FROM_CHANGES || raw.length >= BUNDLE_FROM_BYTES
  const bundle = worthwhile ? bundleOf(source, group, inspected, rules) : undefined
  const last = group.at(-1) as UnsentChange
  const latest = { latestHash: last.hash, latestSeq: last.seq, count: group.length }
  const bytes =
    bundle !== undefined && bundle.length < raw.length
      ? encodeChangesPayload({ encoding: 'bundle', ...latest, chunks: bundle })
      : encodeChangesPayload({ encoding: 'raw', ...latest, chunks: raw })
  return { bytes, ...latest }
}

function bundleOf(
  source: BundleSource,
  group: readonly UnsentChange[],
  raw: InspectedOps,
  rules: GuardRules,
): Uint8Array | undefined {
  try {
    const bundle = source.saveBundle(group.map(change => toHex(change.hash)))
    return sameOps(raw, inspect(bundle, { ...rules, encoding: 'bundle' })) ? bundle : undefined
  } catch {
    // Whatever is wrong with the bundle, the changes themselves are fine.
    return undefined
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}
