import { describe, expect, it } from 'vitest'
import { KeyKeeper } from '../../src/crdt/key-keeper.ts'
import { Problems } from '../../src/crdt/problems.ts'
import { namesSecretOf } from '../../src/crypto/commitments.ts'
import { deriveEpoch, sealLink } from '../../src/crypto/epoch.ts'
import { sealGrant } from '../../src/crypto/grant.ts'
import { kemPublicKeyOf } from '../../src/crypto/wrap.ts'
import type { Random } from '../../src/environment.ts'
import type { DeliveredWrap } from '../../src/relay/key-messages.ts'
import { type ControlBody, WRAP_LENGTH } from '../../src/verify/control.ts'
import type { VerifiedEntry } from '../../src/verify/log.ts'
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
  readonly problems: Problems
  /** Goes through the log as it is now; with these entries as news. */
  readonly gather: (...entries: ControlBody[]) => Promise<boolean>
}

function keeping(log: LogBuilder, device: TestDevice): Keeping {
  const bodyOf = async (index: number): Promise<Uint8Array> => log.entries[index]?.body ?? new Uint8Array(0)
  const problems = new Problems(() => {})
  const keeper = new KeyKeeper({
    space: log.spaceBytes,
    channel: {
      keys: async epoch => ({ type: 'keys', ref: 0, space: log.space, wraps: served(log, device, epoch), to: epoch }),
      bodyStart: bodyOf,
    },
    problems,
    environment: { random: length => new Uint8Array(length), now: () => 0, schedule: () => () => {} },
    epochs: new Map(),
    keep: async () => {},
  })
  const holder = { number: device.number, kem: device.kemSeed }
  const gather: Keeping['gather'] = (...bodies) => {
    const entries = bodies.map(control => ({ control }) as VerifiedEntry)
    return keeper.gather(log.controlState, holder, entries)
  }
  return { keeper, problems, gather }
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

  it('nor do those before and after one that holds what it should: the first that verifies is taken (R-GRANT-2)', async () => {
    const { log, owner, admin, late } = crew()
    const sound = log.bodies.grant(late.number, 0)
    const grants: readonly ControlBody[] = [
      log.bodies.grant(late.number, 0, { sealed: bytesOf('nothing') }),
      // Sealed as it should be, for this device, but other secrets.
      log.bodies.grant(late.number, 0, { sealed: sealedTo(log, late, [bytesOf('made up')]) }),
      sound,
      log.bodies.grant(late.number, 0, { sealed: sealedTo(log, late, [bytesOf('made up, too')]) }),
    ]
    const { keeper, problems, gather } = keeping(log, late)
    for (const [i, body] of grants.entries()) {
      log.act(body === sound ? owner : admin, body)
      await gather(body)
      expect(keeper.keys.canRead(0)).toBe(i >= 2)
      // That one was promised and did not come shows for as long as it lasts.
      expect(problems.list().map(({ message }) => message)).toEqual(
        i >= 2 ? [] : [expect.stringContaining('has to grant it again')],
      )
    }
    expect(keeper.keys.readSecret(0)).toEqual(deriveEpoch(log.bodies.secretOf(0)).readSecret)
    // All of them in one batch, with nothing at hand, come to the same; and a restart tells the same story.
    const fresh = keeping(log, late)
    await fresh.gather()
    expect(fresh.problems.list()).toHaveLength(1)
    await fresh.gather(...grants)
    expect(fresh.keeper.keys.canRead(0)).toBe(true)
    expect(fresh.problems.list()).toEqual([])
  })

  it('spoils no secret beside it', async () => {
    const { log, admin, late } = crew()
    const trueRead = deriveEpoch(log.bodies.secretOf(0)).readSecret
    const half = log.bodies.grant(late.number, 0, { sealed: sealedTo(log, late, [trueRead, bytesOf('made up')]) })
    log.act(admin, half)
    const { keeper, gather } = keeping(log, late)
    await gather(half)
    expect(keeper.keys.readSecret(0)).toEqual(trueRead)
    expect(keeper.keys.readSecret(1)).toEqual(deriveEpoch(log.bodies.secretOf(1)).readSecret)
  })
})

function sealedTo(log: LogBuilder, { number, kemSeed }: TestDevice, secrets: readonly Uint8Array[]): Uint8Array {
  const random: Random = length => new Uint8Array(length)
  const context = { space: log.spaceBytes, device: number, from: 0 }
  return sealGrant({ ...context, kemPublicKey: kemPublicKeyOf(kemSeed), secrets, random })
}
