import {
  appendLeaf,
  entrySigningInput,
  equalBytes,
  rootOf,
  type SignatureCheck,
  type SignatureVerifier,
} from 'sealog/protocol'
import {
  type AcceptedEntry,
  type Circumstances,
  type Judged,
  judge,
  type Push,
  type RefusedEntry,
  type SpaceView,
  seenSizesOf,
} from './judge.ts'
import type { PushedEntry } from './pushed-entry.ts'

/** Pushes of a group from which on signatures are verified ahead. */
const MANY = 4

/**
 * Judges pushes and verifies the signatures of all entries that passed, together. If one does not hold, what comes
 * behind it is judged anew without it, as it may have counted on it: then push by push at first, and twice as many at
 * a time for as long as all hold. So a group of pushes that all fail costs what it would cost to judge each once,
 * while one that is good, which is the rule, is verified in one go.
 */
export async function judgeVerified(
  base: SpaceView,
  pushes: readonly Push[],
  circumstances: Omit<Circumstances, 'verdictOf'>,
  verifier: SignatureVerifier,
): Promise<Judged> {
  /** By entry and key: what stands before an entry decides whose key it must be signed with. */
  const verdicts = new Map<PushedEntry, Verdict[]>()
  const verdictOf = (entry: PushedEntry, signer: Uint8Array): boolean | undefined =>
    verdicts.get(entry)?.find(verdict => equalBytes(verdict.signer, signer))?.holds

  function remember(entry: PushedEntry, signer: Uint8Array, holds: boolean): void {
    const known = verdicts.get(entry)
    if (known === undefined) verdicts.set(entry, [{ signer, holds }])
    // One that is known is the same again: it is about the same bytes under the same key.
    else if (verdictOf(entry, signer) === undefined) known.push({ signer, holds })
  }

  const guesses = guessesOf(base, pushes)
  let ahead: Promise<readonly boolean[]> | undefined = verifier.verifyAll(guesses.map(({ check }) => check))

  /** @returns whether every signature of these entries holds */
  async function verify(entries: readonly AcceptedEntry[]): Promise<boolean> {
    const guessed = (await ahead) ?? []
    ahead = undefined
    for (const [i, holds] of guessed.entries()) {
      const guess = guesses[i] as Guess
      remember(guess.entry, guess.check.publicKey, holds)
    }
    const unknown = entries.filter(item => verdictOf(item.entry, item.signer) === undefined)
    const results = await verifyEach(unknown, verifier)
    for (const [i, item] of unknown.entries()) remember(item.entry, item.signer, results[i] === true)
    return entries.every(item => verdictOf(item.entry, item.signer) === true)
  }

  const seenSizes = seenSizesOf(pushes)
  const seenRoots = new Map(circumstances.seenRoots)
  const accepted: AcceptedEntry[] = []
  const refused: (RefusedEntry | undefined)[] = []
  let view = base
  let width = pushes.length
  // Ends: a round that learns that an entry does not hold is followed by one of a single push, and a single push is
  // cut off at that entry by the round after.
  while (refused.length < pushes.length) {
    const group = pushes.slice(refused.length, refused.length + width)
    const judged = judge(view, group, { ...circumstances, seenRoots, verdictOf })
    if (!(await verify(judged.accepted))) {
      width = 1
      continue
    }
    rememberRoots(seenRoots, seenSizes, view, judged.accepted)
    accepted.push(...judged.accepted)
    refused.push(...judged.refused)
    view = judged.view
    width *= 2
  }
  return { view, accepted, refused }
}

/** Whether an entry's signatures hold, its own under this key. */
interface Verdict {
  readonly signer: Uint8Array
  readonly holds: boolean
}

/** A signature that will have to be verified if the entry is what it looks like. */
interface Guess {
  readonly entry: PushedEntry
  readonly check: SignatureCheck
}

/**
 * Signatures to verify while the pushes are being judged, as other threads do that. Only of what stands first in each
 * push, and only in a group of many: so nobody has more done for an entry that is refused than for one that lands, and
 * a single push waits for nothing. Where an earlier entry decides otherwise whose key it is, the guess is not asked for.
 */
function guessesOf({ state }: SpaceView, pushes: readonly Push[]): readonly Guess[] {
  if (state === undefined || pushes.length < MANY) return []
  return pushes.flatMap(([entry]): Guess[] => {
    // A control entry may bring signatures of its own, which its body says.
    if (entry === undefined || 'fault' in entry || entry.header.kind === 'control') return []
    const device = state.control.devices.get(entry.header.device)
    if (device === undefined || device.removed !== undefined) return []
    const message = entrySigningInput(entry.hash)
    return [{ entry, check: { publicKey: device.signing, message, signature: entry.signature } }]
  })
}

/** What a later push of the group may have seen of this one. */
function rememberRoots(
  roots: Map<number, Uint8Array>,
  sizes: ReadonlySet<number>,
  before: SpaceView,
  accepted: readonly AcceptedEntry[],
): void {
  let { range } = before
  const end = range.size + accepted.length
  // The rule: authors have seen what is stored, and the sizes of this group are nobody's.
  if (![...sizes].some(size => size > range.size && size <= end)) return
  for (const { entry } of accepted) {
    range = appendLeaf(range, entry.hash)
    if (sizes.has(range.size)) roots.set(range.size, rootOf(range))
  }
}

/** One verdict for each entry: do all its signatures hold? */
async function verifyEach(entries: readonly AcceptedEntry[], verifier: SignatureVerifier): Promise<readonly boolean[]> {
  const verdicts = await verifier.verifyAll(entries.flatMap(item => item.checks))
  let next = 0
  return entries.map(({ checks }) => {
    const own = verdicts.slice(next, next + checks.length)
    next += checks.length
    return own.length === checks.length && own.every(holds => holds)
  })
}
