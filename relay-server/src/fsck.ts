import { equalBytes, putMailboxInput, type SignatureVerifier, type SpaceId } from 'sealog/protocol'
import { type Finding, type Report, reasonOf } from './fsck-finding.ts'
import type { RelayName } from './fsck-fold.ts'
import { checkSpace } from './fsck-space.ts'
import type { LogStore, PlacedMailbox } from './log-store.ts'

const SPACES_AT_ONCE = 256
const MAILBOXES_AT_ONCE = 64
/** So many are told of a store that finds ever more wrong with itself. */
const MAX_FAULTS = 1000

export interface StoreCheck {
  readonly store: LogStore
  /** Public key of the key file, 32 bytes; undefined where there is none: the store's own word is then taken for it. */
  readonly key: Uint8Array | undefined
  readonly verifier: SignatureVerifier
  readonly report: Report
  /** Default: all, and what belongs to none. */
  readonly space?: SpaceId
}

/** What was looked at. */
export interface CheckedStore {
  readonly spaces: number
  readonly entries: number
  readonly mailboxes: number
  /** Bodies that are not stored, as after a recovery. */
  readonly missing: number
  readonly findings: number
}

/** Checks a whole store, one space after the other; whatever fails in one, the others are still checked. */
export async function checkStore({ report, ...check }: StoreCheck): Promise<CheckedStore> {
  let findings = 0
  const counting: Report = finding => {
    findings++
    report(finding)
  }
  const total = { spaces: 0, entries: 0, mailboxes: 0, missing: 0 }
  const ended = (): CheckedStore => ({ ...total, findings })
  const { store, verifier, space: only } = check
  const relay = await checkIdentity({ report: counting, ...check })
  if (relay === undefined) return ended()
  if (only === undefined) await attempt(counting, {}, () => inspect(store, counting))
  for await (const space of only === undefined ? spacesOf(store) : [only]) {
    total.spaces++
    await attempt(counting, { space }, async () => {
      const { size, missing } = await checkSpace({ store, relay, verifier, space, report: counting })
      total.entries += size
      total.missing += missing
    })
  }
  if (only === undefined) {
    await attempt(counting, {}, async () => {
      total.mailboxes = await checkMailboxes(store, relay, verifier, counting)
    })
  }
  return ended()
}

/** All spaces, a page at a time. */
export async function* spacesOf(store: LogStore): AsyncGenerator<SpaceId> {
  for (let after: SpaceId | undefined; ; ) {
    const page = await store.readSpaces(after, SPACES_AT_ONCE)
    yield* page
    if (page.length < SPACES_AT_ONCE) return
    after = page.at(-1)
  }
}

/** All mailboxes, a page at a time. */
export async function* mailboxesOf(store: LogStore): AsyncGenerator<readonly PlacedMailbox[]> {
  for (let after: Uint8Array | undefined; ; ) {
    const page = await store.readMailboxes(after, MAILBOXES_AT_ONCE)
    if (page.length > 0) yield page
    if (page.length < MAILBOXES_AT_ONCE) return
    after = page.at(-1)?.address
  }
}

/** @returns for each whether its owner put it there, for this relay */
export function verifyMailboxes(
  mailboxes: readonly PlacedMailbox[],
  relay: RelayName,
  verifier: SignatureVerifier,
): Promise<readonly boolean[]> {
  return verifier.verifyAll(
    mailboxes.map(({ address, counter, bytes, signature }) => ({
      publicKey: address,
      message: putMailboxInput(relay, address, counter, bytes),
      signature,
    })),
  )
}

async function checkIdentity({ store, key, report }: StoreCheck): Promise<RelayName | undefined> {
  const identity = await store.readIdentity()
  if (identity === undefined) {
    const [any] = await store.readSpaces(undefined, 1)
    if (any !== undefined) report({ checked: 'identity', reason: 'the store has spaces, and belongs to no relay' })
    return undefined
  }
  if (key !== undefined && !equalBytes(identity.key, key)) {
    report({ checked: 'identity', reason: 'the key of the store is not that of the key file' })
  }
  // What the key file says is the measure: notes are held against it.
  return { name: identity.name, key: key ?? identity.key }
}

async function inspect(store: LogStore, report: Report): Promise<void> {
  for (const { space, reason } of await store.inspect(MAX_FAULTS)) report({ checked: 'store', space, reason })
}

async function checkMailboxes(
  store: LogStore,
  relay: RelayName,
  verifier: SignatureVerifier,
  report: Report,
): Promise<number> {
  let count = 0
  for await (const page of mailboxesOf(store)) {
    for (const holds of await verifyMailboxes(page, relay, verifier)) {
      count++
      if (!holds) report({ checked: 'mailbox', reason: `number ${count}: its owner has not put this there` })
    }
  }
  return count
}

async function attempt(report: Report, about: Pick<Finding, 'space'>, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    report({ checked: 'store', ...about, reason: `unreadable: ${reasonOf(error)}` })
  }
}
