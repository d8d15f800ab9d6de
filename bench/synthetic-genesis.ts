import { type ControlBody, memberIdOf, type PinnedRelay, possessionInput, WRAP_LENGTH, ZERO_32 } from 'sealog/protocol'
import { anyKemKey, bytesOf, type Signer } from './synthetic-keys.ts'

/** When a synthetic space begins, Unix milliseconds. */
export const TIME = 1_700_000_000_000

/** The genesis of a space of one device. Nobody opens anything there: its wrap and names are none. */
export function genesisBody(relay: PinnedRelay, device: Signer): ControlBody {
  const signing = device.publicKey
  const kem = anyKemKey()
  const member = memberIdOf(bytesOf('member').slice(0, 16))
  return {
    type: 'genesis',
    time: TIME,
    relay: { ...relay, url: 'ws://relay.test' },
    device: { signing, kem, possession: device.sign(possessionInput(ZERO_32, member, signing, kem)) },
    member,
    epoch: { readCommit: bytesOf('read commit') },
    wrap: new Uint8Array(WRAP_LENGTH),
    policy: { contentRules: 1, maxBodyLength: 1024 * 1024, attestations: 1, rotateEntries: 0, rotateDays: 0 },
    spaceName: new Uint8Array(0),
    memberName: new Uint8Array(0),
    deviceName: new Uint8Array(0),
  }
}
