import { describe, expect, it } from 'vitest'
import { KeyKeeper } from '../../src/crdt/key-keeper.ts'
import { Problems } from '../../src/crdt/problems.ts'
import { namesSecretOf } from '../../src/crypto/commitments.ts'
import { deriveEpoch, sealLink } from '../../src/crypto/epoch.ts'
import type { DeliveredWrap } from '../../src/relay/messages.ts'
import { WRAP_LENGTH } from '../../src/verify/control.ts'
import { proveWrap, recipientsOf, wrapLeaf } from '../../src/verify/wraps.ts'
import { crew, deviceOf, epochOf, judged } from '../helpers/crew.ts'
import { bytesOf, type LogBuilder, type TestDevice } from '../helpers/log-builder.ts'

/*
 * A member that may start and repair epochs says what the rules let pass: everything in a delivery but its secrets is
 * opaque to them. What the others make of it is up to their keys alone.
 */

/** What an honest relay has for this device of one epoch: its wrap of every delivery. */
function served(log: LogBuilder, { number }: TestDevice, epoch: number): readonly DeliveredWrap[] {
  const deliveries = log.controlState.epochs[epoch]?.deliveries ?? []
  return deliveries.flatMap(delivery => {
    const all = log.bodies.wrapsOf(delivery) as Uint8Array
    const wraps = recipientsOf(log.stateAt(delivery.index).control, epoch).map((recipient, i) => ({
      device: recipient.number,
      wrap: all.slice(i * WRAP_LENGTH, (i + 1) * WRAP_LENGTH),
    }))
    const leaves = wraps.map(({ device, wrap }) => wrapLeaf(device, wrap))
    const position = wraps.findIndex(({ device }) => device === number)
    const own = wraps[position]
    return own === undefined
      ? []
      : [{ ...own, epoch, index: delivery.index, position, proof: proveWrap(leaves, position) }]
  })
}

interface Keeping {
  readonly keeper: KeyKeeper
  /** Goes through the log as it is now. */
  readonly gather: () => Promise<boolean>
}

function keeping(log: LogBuilder, device: TestDevice): Keeping {
  const bodyOf = async (index: number): Promise<Uint8Array> => log.entries[index]?.body ?? new Uint8Array(0)
  const keeper = new KeyKeeper({
    space: log.spaceBytes,
    channel: {
      keys: async epoch => ({ type: 'keys', ref: 0, space: log.space, wraps: served(log, device, epoch), to: epoch }),
      body: bodyOf,
      bodyStart: bodyOf,
    },
    problems: new Problems(() => {}),
    environment: { random: length => new Uint8Array(length), now: () => 0, schedule: () => () => {} },
    epochs: new Map(),
    keep: async () => {},
  })
  const holder = { number: device.number, kem: device.kemSeed }
  return { keeper, gather: () => keeper.gather(log.controlState, holder, []) }
}

describe('names that a member makes up for those who read from their admission on (R-EPOCH-2)', () => {
  const trueNames = (log: LogBuilder): Uint8Array => namesSecretOf(deriveEpoch(log.bodies.secretOf(0)).readSecret)

  /** A repair whose link to the names of epoch 0 opens, and leads to others. */
  function misled(log: LogBuilder, author: TestDevice): void {
    const epoch = epochOf(log)
    const key = namesSecretOf(deriveEpoch(log.bodies.secretOf(epoch)).readSecret)
    const place = { space: log.spaceBytes, epoch, target: 0 }
    const namesLink = sealLink('names', { ...place, key, secret: bytesOf('made up') })
    log.act(author, log.bodies.repair(epoch, { delivery: { namesLink } }))
  }

  it('are not taken for theirs: the link before it counts', async () => {
    const { log, writer, late } = crew()
    misled(log, writer)
    const { keeper, gather } = keeping(log, late)
    await gather()
    expect(keeper.keys.namesSecret(0)).toEqual(trueNames(log))
  })

  it('and where there is none that holds, wait for one that does', async () => {
    const { log, owner, writer } = crew()
    const epoch = epochOf(log) + 1
    const secret = bytesOf('secret of a hostile author')
    const made = log.bodies.rotate({ secret })
    const key = namesSecretOf(deriveEpoch(secret).readSecret)
    const place = { space: log.spaceBytes, epoch, target: epoch - 1 }
    const namesLink = sealLink('names', { ...place, key, secret: bytesOf('made up') })
    log.act(writer, { ...made, delivery: { ...made.delivery, namesLink } })
    const guest = log.admit('guest', 'writer', { history: 'from-join' })
    log.act(owner, log.bodies.rotate())
    const { keeper, gather } = keeping(log, guest)
    await gather()
    expect(keeper.keys.kindOf(epoch + 1)).toBe('read')
    expect(keeper.keys.kindOf(0)).toBeUndefined()
    log.act(owner, log.bodies.repair(epoch))
    await gather()
    expect(keeper.keys.namesSecret(0)).toEqual(trueNames(log))
  })
})

describe('a grant that holds nothing (R-GRANT-3)', () => {
  it('does not keep the device from being given what it was granted', async () => {
    const { log, owner, admin, late } = crew()
    log.act(admin, log.bodies.grant(late.number, 0, { sealed: bytesOf('nothing') }))
    expect(deviceOf(log, late).readsFrom).toBe(0)
    expect(await judged(log, owner, log.bodies.grant(late.number, 0))).toBe('accepted')
  })
})
