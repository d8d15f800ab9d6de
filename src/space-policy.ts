import { assertInteger } from './arguments.ts'
import { assertKeeper, mayStartEpoch } from './crdt/rotation.ts'
import { SealogError } from './errors.ts'
import type { ControlWriter } from './space-control.ts'
import { ownRecord } from './space-people.ts'
import type { PolicyChange } from './space-status.ts'
import type { Policy } from './verify/control.ts'
import { latestEpoch } from './verify/control-state.ts'
import type { WaitOptions } from './waiting.ts'

/** Starts a new epoch because somebody wants it (DESIGN §7). */
export function rotateKeys(writer: ControlWriter, options: WaitOptions): Promise<void> {
  return writer.current(options, async control => {
    const { sync } = writer
    const { id } = ownRecord(control, sync.member)
    assertKeeper(control, id)
    const before = latestEpoch(control)
    await sync.control(async () => {
      const { control } = writer
      if (control === undefined) return undefined
      // Somebody else was faster: it is a new epoch all the same.
      if (latestEpoch(control) > before) return undefined
      mayStartEpoch(control, id, sync.view.range.size)
      const rotation = await sync.rotation()
      if (rotation === undefined)
        throw new SealogError('ERR_KEY', 'no epoch is known here that a new one could lead to')
      return rotation
    })
  })
}

/** Changes what is named of the policy, and leaves the rest (DESIGN §4). */
export function setPolicy(writer: ControlWriter, change: PolicyChange, options: WaitOptions): Promise<void> {
  const { rotateEvery, attestations, maxBodyLength } = change
  if (rotateEvery?.entries !== undefined) assertInteger(rotateEvery.entries, 'rotateEvery.entries')
  if (rotateEvery?.days !== undefined) assertInteger(rotateEvery.days, 'rotateEvery.days', 36_525)
  if (attestations !== undefined) assertInteger(attestations, 'attestations', 15)
  if (maxBodyLength !== undefined) assertInteger(maxBodyLength, 'maxBodyLength', 64 * 1024 * 1024)
  return writer.current(options, async () => {
    await writer.append(({ time }, { policy, relay }) => {
      const next: Policy = {
        contentRules: policy.contentRules,
        maxBodyLength: maxBodyLength ?? policy.maxBodyLength,
        attestations: attestations ?? policy.attestations,
        rotateEntries: rotateEvery === undefined ? policy.rotateEntries : (rotateEvery.entries ?? 0),
        rotateDays: rotateEvery === undefined ? policy.rotateDays : (rotateEvery.days ?? 0),
      }
      return { type: 'policy', time, policy: next, url: change.relayUrl ?? relay.url }
    })
  })
}
