import { type MailboxSpace, mergeMailboxLists } from './crdt/mailbox-list.ts'
import type { DeviceSecrets } from './crdt/secrets.ts'
import type { SpaceMailbox } from './crdt/space-mailbox.ts'
import type { SignatureVerifier } from './crypto/sign.ts'
import { asSealogError, hasCode, SealogError } from './errors.ts'
import type { SpaceId } from './ids.ts'
import { parseNote, relaySignature } from './verify/checkpoint.ts'

/*
 * A seed as a device of many spaces at once (DESIGN §7): that of a recovery phrase, which lies in a drawer until a blank
 * machine is given the words, or one that is made to link a single device, and is used once. In each space it is an
 * ordinary device of its owner's member, which members see and can remove; which spaces there are, and where, stands in
 * the mailbox.
 */

/** So many spaces are worked on at once. */
const AT_A_TIME = 8

/** How it went, space by space, in the order in which they came to an end: what fails in one is no matter of the others. */
export interface RecoveryOutcome {
  readonly done: readonly SpaceId[]
  readonly failed: readonly { readonly space: SpaceId; readonly error: SealogError }[]
}

export interface CreateRecoveryOptions {
  readonly mailbox: SpaceMailbox
  /** At least one, for a relay takes mailboxes from members of spaces only. */
  readonly spaces: readonly SpaceId[]
  /**
   * Makes these keys a device of one's own member in the space, unless they are one already, and waits until the log
   * proves it; gives up by itself where that takes too long. @returns the space, with a note of the log that proves it
   */
  readonly admit: (space: SpaceId, device: DeviceSecrets) => Promise<MailboxSpace>
  readonly signal?: AbortSignal
}

/**
 * Makes the seed of a mailbox a device of these spaces, and adds them to the list in it, each as soon as it is admitted.
 * What was listed stays. After a failure half-way it is called again: a device is admitted once, and what is listed was
 * admitted before.
 * @throws SealogError what `SpaceMailbox.write` throws; ERR_ABORTED. Whatever `admit` throws is in the outcome
 */
export async function createRecovery(options: CreateRecoveryOptions): Promise<RecoveryOutcome> {
  const { mailbox, admit, signal } = options
  const listing = startListing(mailbox, signal)
  const outcome = await eachSpace(options.spaces, signal, async space => {
    listing.add(await admit(space, mailbox.deviceOf(space)))
  })
  await listing.end()
  return outcome
}

/** Lists what is added, in as few versions of the mailbox as there is time for. */
function startListing(
  mailbox: SpaceMailbox,
  signal: AbortSignal | undefined,
): { readonly add: (space: MailboxSpace) => void; readonly end: () => Promise<void> } {
  const added: MailboxSpace[] = []
  let listed = 0
  let writing: Promise<void> | undefined

  async function write(): Promise<void> {
    while (listed < added.length) {
      const own = [...added]
      await mailbox.write(before => mergeMailboxLists(before, own), signal)
      listed = own.length
    }
  }

  return {
    add(space) {
      added.push(space)
      // A failure is told at the end, if it has not passed by then.
      writing ??= write()
        .catch(() => {})
        .finally(() => {
          writing = undefined
        })
    },
    async end() {
      await writing
      await write()
    },
  }
}

/** A space of the list, with the keys that are a device of it. */
export interface RecoveredSpace extends MailboxSpace {
  readonly device: DeviceSecrets
}

export interface RecoverOptions {
  readonly mailbox: SpaceMailbox
  readonly verifier: SignatureVerifier
  /**
   * Opens the space under these keys, with the note as anchor, and makes it this replica's: as a device with keys of its
   * own, for those of a phrase stay with the phrase. It need not wait for the relay of the space.
   */
  readonly adopt: (space: RecoveredSpace) => Promise<void>
  readonly signal?: AbortSignal
}

/**
 * Gets back the spaces that the mailbox of a seed lists. That it lists all is the relay's word: it may show an old list,
 * or none. What it lists, the owner of the seed wrote, for this relay.
 * @throws SealogError what `SpaceMailbox.read` throws, ERR_UNKNOWN_MAILBOX among it; ERR_ABORTED. Whatever `adopt`
 * throws is in the outcome, as is ERR_CHECKPOINT_SIGNATURE for a note that the space's relay did not sign
 */
export async function recover({ mailbox, verifier, adopt, signal }: RecoverOptions): Promise<RecoveryOutcome> {
  const { spaces } = await mailbox.read(signal)
  const listed = new Map(spaces.map(each => [each.space, each]))
  return eachSpace([...listed.keys()], signal, async space => {
    const found = listed.get(space) as MailboxSpace
    await assertSigned(verifier, found)
    await adopt({ ...found, device: mailbox.deviceOf(space) })
  })
}

/** A few at a time: a thousand spaces are no more work at once than eight, and one that takes long holds up none. */
export async function eachSpace(
  spaces: readonly SpaceId[],
  signal: AbortSignal | undefined,
  task: (space: SpaceId) => Promise<void>,
): Promise<RecoveryOutcome> {
  const waiting = [...new Set(spaces)]
  const done: SpaceId[] = []
  const failed: { space: SpaceId; error: SealogError }[] = []

  async function work(): Promise<void> {
    for (let space = waiting.shift(); space !== undefined; space = waiting.shift()) {
      try {
        assertGoingOn(signal)
        await task(space)
        done.push(space)
      } catch (error) {
        if (error instanceof TypeError || hasCode(error, 'ERR_CLOSED')) throw error
        assertGoingOn(signal)
        failed.push({ space, error: asSealogError(error, 'ERR_STORE', 'the space could not be set up') })
      }
    }
  }

  try {
    await Promise.all(Array.from({ length: AT_A_TIME }, work))
  } finally {
    // Where one ended it for all, nobody begins with another.
    waiting.length = 0
  }
  return { done, failed }
}

function assertGoingOn(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new SealogError('ERR_ABORTED', 'aborted by the caller', { cause: signal.reason })
}

/** The mailbox says what its writer had verified; that the relay is bound to it, its own signature says. */
async function assertSigned(verifier: SignatureVerifier, { relay, note }: MailboxSpace): Promise<void> {
  const parsed = parseNote(note)
  const signature = relaySignature(parsed, { name: parsed.checkpoint.origin, publicKey: relay.key })
  if (await verifier.verify({ publicKey: relay.key, message: parsed.text, signature })) return
  throw new SealogError('ERR_CHECKPOINT_SIGNATURE', 'the checkpoint in the mailbox is not signed by its relay')
}
