import { makeDelivery } from '../../src/crdt/delivery.ts'
import { type EpochSecret, SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import { commitmentsOf } from '../../src/crypto/commitments.ts'
import { kemPublicKeyOf } from '../../src/crypto/wrap.ts'
import type { DeliveredWrap } from '../../src/relay/key-messages.ts'
import type { History } from '../../src/verify/control.ts'
import type { ControlState, DeliveryRecord, DeviceRecord, EpochRecord } from '../../src/verify/control-state.ts'
import { proveWrap, type Recipient, wrapLeaf } from '../../src/verify/wraps.ts'
import { bytesOf } from './log-builder.ts'

/** A space with so many epochs for one device that came in the first, and what the relay has for it. */
export interface KeyChain {
  /** 32 bytes. */
  readonly space: Uint8Array
  readonly control: ControlState
  readonly holder: { readonly number: number; readonly kem: Uint8Array }
  readonly secretOf: (epoch: number) => Uint8Array
  readonly wraps: readonly DeliveredWrap[]
}

const NUMBER = 1

export interface ChainOptions {
  readonly epochs: number
  readonly history: History
  /** What an author put in the place of what it had to deliver. */
  readonly spoil?: (epoch: number, delivery: DeliveryRecord) => DeliveryRecord
}

/** As of its rules, without the entries: of a control state there is only what leads to keys. */
export async function keyChain({
  epochs,
  history,
  spoil = (_, delivery) => delivery,
}: ChainOptions): Promise<KeyChain> {
  const space = bytesOf('space of a chain of epochs')
  const seed = bytesOf('KEM seed of a chain of epochs')
  const kem = kemPublicKeyOf(seed)
  const secretOf = (epoch: number): Uint8Array => bytesOf(`secret of epoch ${epoch}`)
  const recipients: readonly Recipient[] = [{ number: NUMBER, kem, payloadKind: history === 'all' ? 0 : 1 }]
  const secrets = new Map<number, EpochSecret>()
  const records: EpochRecord[] = []
  const wraps: DeliveredWrap[] = []
  for (let epoch = 0; epoch <= epochs; epoch++) {
    const secret = secretOf(epoch)
    const index = 10 * epoch
    const deliveries: DeliveryRecord[] = []
    if (epoch > 0) {
      const keys = new SpaceKeys(secrets)
      const made = await makeDelivery({
        ...{ space, epoch, secret, keys, recipients },
        target: epoch - 1,
        breathe: async () => {},
      })
      deliveries.push(spoil(epoch, { ...made.delivery, index, device: 0 }))
      const wrap = made.wraps[0] as Uint8Array
      wraps.push({ epoch, index, device: NUMBER, position: 0, wrap, proof: proveWrap([wrapLeaf(NUMBER, wrap)], 0) })
    }
    secrets.set(epoch, { kind: 'all', secret })
    records.push({ ...commitmentsOf(secret), index, device: 0, time: 0, deliveries })
  }
  const since = { number: NUMBER, index: 5, epoch: 1 }
  const device = { number: NUMBER, member: 'a member', standing: 'member', since, readsFrom: 1, kem }
  const control = {
    space,
    epochs: records,
    devices: new Map([[NUMBER, device as unknown as DeviceRecord]]),
    members: new Map([['a member', { history }]]),
    invites: new Map(),
  } as unknown as ControlState
  return { space, control, holder: { number: NUMBER, kem: seed }, secretOf, wraps }
}
