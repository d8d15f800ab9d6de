import { equalBytes } from '../bytes.ts'
import { SealogError } from '../errors.ts'
import { type Checkpoint, originOf, parseNote, relaySignature } from './checkpoint.ts'
import type { LogView, RequiredCheck } from './log.ts'

/**
 * A note for this log, by the pinned key, not older or smaller than what was accepted before.
 * @returns what it says, and the check of its signature that is still owed
 * @throws SealogError ERR_CHECKPOINT…, ERR_ROLLBACK, ERR_TIME_BACKWARDS, ERR_ROOT_MISMATCH, ERR_STATE_ROOT
 */
export function acceptNote(view: LogView, bytes: Uint8Array): { checkpoint: Checkpoint; check: RequiredCheck } {
  const note = parseNote(bytes)
  const { checkpoint } = note
  const origin = originOf(view.relay.name, view.space)
  if (checkpoint.origin !== origin) {
    throw new SealogError('ERR_CHECKPOINT', 'a checkpoint of another log', {
      details: { expected: origin, actual: checkpoint.origin },
    })
  }
  const signature = relaySignature(note, { name: origin, publicKey: view.relay.key })
  const furthest = view.anchors.at(-1)
  if (furthest !== undefined && furthest.size > checkpoint.size) throw rollback(furthest.size, checkpoint.size)
  const { head } = view
  if (head !== undefined) {
    if (checkpoint.size < head.size) throw rollback(head.size, checkpoint.size)
    if (checkpoint.time < head.time)
      throw new SealogError('ERR_TIME_BACKWARDS', 'a checkpoint older than its predecessor')
    if (checkpoint.size === head.size && !equalBytes(checkpoint.root, head.root)) {
      throw new SealogError('ERR_ROOT_MISMATCH', `two signed roots for ${head.size} entries`)
    }
    if (checkpoint.size === head.size && !equalBytes(checkpoint.stateRoot, head.stateRoot)) {
      throw new SealogError('ERR_STATE_ROOT', `two signed state roots for ${head.size} entries`)
    }
  }
  const check: RequiredCheck = {
    publicKey: view.relay.key,
    message: note.text,
    signature,
    code: 'ERR_CHECKPOINT_SIGNATURE',
    what: 'checkpoint',
  }
  return { checkpoint, check }
}

function rollback(known: number, claimed: number): SealogError {
  return new SealogError('ERR_ROLLBACK', `the log had ${known} entries, now the relay says ${claimed}`, {
    details: { expected: `${known}`, actual: `${claimed}` },
  })
}
