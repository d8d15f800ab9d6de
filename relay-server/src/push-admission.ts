import type { SpaceId } from 'sealog/protocol'
import type { Gate } from './gate.ts'
import type { Push } from './judge.ts'
import { bytesOf, pushCost } from './push-cost.ts'
import type { SpaceSequencer } from './space-sequencer.ts'

/** Who brings a push: a device that has the space open. */
export interface Pusher {
  readonly space: SpaceId
  /** Number of the device. */
  readonly device: number
  /** Of the client, as text; undefined within one process. */
  readonly address: string | undefined
}

/** A push that was let in. */
export interface AdmittedPush {
  /** To be called once, when it is done. @param count entries that landed, from the first on */
  landed(count: number): void
}

/** Weighs a push, and asks the gate about it. @throws SealogError ERR_QUOTA, ERR_RATE_LIMITED */
export function admitPush(gate: Gate, pusher: Pusher, push: Push, sequencer: SpaceSequencer): AdmittedPush {
  const control = sequencer.state?.control
  const member = control?.devices.get(pusher.device)?.member ?? ''
  const pass = gate.push({ ...pusher, member }, pushCost(push, control), sequencer.bytes)
  return {
    landed: count => {
      let bytes = 0
      for (const entry of push.slice(0, count)) if ('header' in entry) bytes += bytesOf(entry)
      pass.done(count, bytes)
    },
  }
}
