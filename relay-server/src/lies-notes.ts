import { type Batch, type Checkpoint, encodeNote, fromUtf8, noteKeyHash, parseNote, toUtf8 } from 'sealog/protocol'
import { forgeLog } from './forged-log.ts'
import {
  batchLie,
  checkpointOf,
  claimOf,
  convictingLie,
  flip,
  type Lie,
  signedLie,
  signNote,
  type Teller,
} from './lie.ts'

/** Other notes than the one that the relay signed for this log, size and time. */
export const NOTE_LIES: readonly Lie[] = [
  flipLie('origin', 'ERR_CHECKPOINT', checkpoint => ({ ...checkpoint, origin: flippedName(checkpoint.origin) })),
  flipLie('size', 'ERR_PROOF', checkpoint => ({ ...checkpoint, size: checkpoint.size + 1 })),
  flipLie('root', 'ERR_ROOT_MISMATCH', checkpoint => ({ ...checkpoint, root: flip(checkpoint.root, 0) })),
  flipLie('state', 'ERR_STATE_ROOT', checkpoint => ({ ...checkpoint, stateRoot: flip(checkpoint.stateRoot, 0) })),
  flipLie('time', 'ERR_CHECKPOINT_SIGNATURE', checkpoint => ({ ...checkpoint, time: checkpoint.time + 1 })),
  batchLie({
    name: 'flip-note-key-name',
    says: 'a letter of the name of the key that signed a note is another',
    expected: ['ERR_CHECKPOINT_SIGNATURE'],
    batch: batch => withLine(batch, line => ({ ...line, name: flippedName(line.name) })),
  }),
  batchLie({
    name: 'flip-note-key-hash',
    says: 'a bit is flipped in the hash of the key that signed a note',
    expected: ['ERR_CHECKPOINT_SIGNATURE'],
    batch: batch => withLine(batch, line => ({ ...line, keyHash: flip(line.keyHash, 0) })),
  }),
  batchLie({
    name: 'flip-note-signature',
    says: 'a bit is flipped in the signature of a note',
    expected: ['ERR_CHECKPOINT_SIGNATURE'],
    batch: batch => withLine(batch, line => ({ ...line, signature: flip(line.signature, 40) })),
  }),
  batchLie({
    name: 'cut-note',
    says: 'the last byte of a note is missing',
    expected: ['ERR_CHECKPOINT'],
    batch: batch => ({ ...batch, note: batch.note.slice(0, -1) }),
  }),
  batchLie({
    name: 'padded-note',
    says: 'an empty line follows a note',
    expected: ['ERR_CHECKPOINT'],
    batch: batch => ({ ...batch, note: toUtf8(`${fromUtf8(batch.note)}\n`) }),
  }),
  batchLie({
    name: 'note-without-signature',
    says: 'a note comes without its signature lines',
    expected: ['ERR_CHECKPOINT'],
    batch: batch => ({ ...batch, note: toUtf8(`${fromUtf8(parseNote(batch.note).text)}\n`) }),
  }),
  batchLie({
    name: 'note-by-another-key',
    says: 'a note is signed by a key that is not the pinned one',
    expected: ['ERR_CHECKPOINT_SIGNATURE'],
    batch: (batch, { otherKey }) => signedBy(batch, otherKey, otherKey.publicKey),
  }),
  batchLie({
    name: 'note-under-a-false-name',
    says: 'a note is signed by another key, and says that it is the pinned one',
    expected: ['ERR_CHECKPOINT_SIGNATURE'],
    batch: (batch, { otherKey, signingKey }) => signedBy(batch, otherKey, signingKey.publicKey),
  }),
  batchLie({
    name: 'replayed-note',
    says: 'an old note of this log comes with new entries, or with none',
    expected: ['ERR_ROLLBACK', 'ERR_ROOT_MISMATCH'],
    batch: (batch, { notes }) => {
      const [oldest] = notes
      const isOld = oldest !== undefined && parseNote(oldest).checkpoint.size < checkpointOf(batch).size
      return isOld ? { ...batch, note: oldest } : undefined
    },
  }),
  signedLie({
    name: 'note-of-another-space',
    says: 'the relay signs the checkpoint under the name of another space',
    expected: ['ERR_CHECKPOINT'],
    batch: (batch, teller) =>
      signed(batch, teller, checkpoint => ({ ...checkpoint, origin: `${teller.relayName}/${'ab'.repeat(32)}` })),
  }),
  signedLie({
    name: 'note-of-a-larger-log',
    says: 'the relay signs one entry more than there is, under the root without it',
    expected: ['ERR_PROOF'],
    batch: (batch, teller) => signed(batch, teller, checkpoint => ({ ...checkpoint, size: checkpoint.size + 1 })),
  }),
  signedLie({
    name: 'note-of-a-smaller-log',
    says: 'the relay signs the log again as it was an entry ago',
    expected: ['ERR_ROLLBACK', 'ERR_ROOT_MISMATCH'],
    batch: async (batch, teller) => {
      const claim = before(batch, teller)
      return signed(batch, teller, checkpoint => ({ ...checkpoint, ...claim }))
    },
  }),
  convictingLie({
    name: 'note-with-an-old-root',
    says: 'the relay signs the root as it was before the new entries',
    expected: ['ERR_ROOT_MISMATCH'],
    batch: async (batch, teller) => {
      if (batch.from === 0 || batch.entries.length === 0) return undefined
      const { root } = claimOf(forgeLog(teller.log.slice(0, batch.from)), batch.from)
      return signed(batch, teller, checkpoint => ({ ...checkpoint, root }))
    },
  }),
  convictingLie({
    name: 'note-with-an-old-state',
    says: 'the relay signs the state root of another size',
    expected: ['ERR_STATE_ROOT'],
    batch: async (batch, teller) => {
      const { stateRoot } = before(batch, teller)
      return signed(batch, teller, checkpoint => ({ ...checkpoint, stateRoot }))
    },
  }),
  signedLie({
    name: 'note-that-goes-back-in-time',
    says: 'the relay signs a time before one that it signed',
    expected: ['ERR_TIME_BACKWARDS'],
    batch: (batch, teller) => {
      const [oldest] = teller.notes
      if (oldest === undefined) return undefined
      const { time } = parseNote(oldest).checkpoint
      return signed(batch, teller, checkpoint => ({ ...checkpoint, time: time - 1 }))
    },
  }),
]

/** A change to what a note says, under the signature of what it said before. */
function flipLie(line: string, code: Lie['expected'][number], change: (checkpoint: Checkpoint) => Checkpoint): Lie {
  return batchLie({
    name: `flip-note-${line}`,
    says: `the ${line} line of a note is another than the signed one`,
    expected: [code],
    batch: batch => {
      const { checkpoint, signatures } = parseNote(batch.note)
      return { ...batch, note: encodeNote(change(checkpoint), signatures) }
    },
  })
}

type Line = ReturnType<typeof parseNote>['signatures'][number]

function withLine(batch: Batch, change: (line: Line) => Line): Batch {
  const { checkpoint, signatures } = parseNote(batch.note)
  return { ...batch, note: encodeNote(checkpoint, signatures.map(change)) }
}

async function signedBy(batch: Batch, key: Teller['otherKey'], named: Uint8Array): Promise<Batch> {
  const { checkpoint, text } = parseNote(batch.note)
  const { origin } = checkpoint
  const signature = await key.sign(text)
  return { ...batch, note: encodeNote(checkpoint, [{ name: origin, keyHash: noteKeyHash(origin, named), signature }]) }
}

/** The relay signs something else in place of what it said. */
export async function signed(
  batch: Batch,
  teller: Teller,
  change: (checkpoint: Checkpoint) => Checkpoint,
): Promise<Batch> {
  const { note } = await signNote(teller, change(checkpointOf(batch)))
  return { ...batch, note }
}

/** What the relay signed, or could have, when the log had one entry less. */
function before(batch: Batch, { log }: Teller): ReturnType<typeof claimOf> {
  const size = checkpointOf(batch).size - 1
  return claimOf(forgeLog(log.slice(0, size)), size)
}

function flippedName(name: string): string {
  return `${name.startsWith('x') ? 'y' : 'x'}${name.slice(1)}`
}
