import { DEFAULT_POLICY, genesisBody, newDevice } from './crdt/membership.ts'
import { sealGenesis } from './crdt/seal.ts'
import type { SpaceSecrets } from './crdt/secrets.ts'
import { generateEpochSecret } from './crypto/epoch.ts'
import { nobleSigningKey } from './crypto/sign-backend.ts'
import type { Environment } from './environment.ts'
import { memberIdOf, spaceIdOf } from './ids.ts'
import type { RelayIdentity } from './verify/control.ts'
import { encodeControlBody } from './verify/control-codec.ts'
import { emptyView, type LogView } from './verify/log.ts'

export interface Founding {
  /** It becomes part of the space, whose id is the hash of its first entry. */
  readonly relay: RelayIdentity
  readonly names: { readonly space: string; readonly member: string; readonly device: string }
  /** What the relay is shown, if it does not let everybody create spaces. */
  readonly token: string | undefined
}

/** A space of which nobody knows yet (DESIGN §4): its first entry, and the keys of its founder. */
export async function foundSpace(
  { relay, names, token }: Founding,
  { random, now }: Environment,
): Promise<{ readonly view: LogView; readonly secrets: SpaceSecrets }> {
  const device = newDevice(random)
  const epochSecret = generateEpochSecret(random)
  const member = memberIdOf(random(16))
  const incarnation = random(8)
  const body = genesisBody({ relay, device, member, epochSecret, names, policy: DEFAULT_POLICY, time: now(), random })
  const entry = await sealGenesis(nobleSigningKey(device.signing), incarnation, encodeControlBody(body))
  const secrets: SpaceSecrets = {
    url: relay.url,
    member,
    device,
    incarnation,
    epochs: new Map([[0, { kind: 'all', secret: epochSecret }]]),
    memberName: names.member,
    deviceName: names.device,
    admission: { type: 'genesis', entry, token },
  }
  return { view: emptyView(spaceIdOf(entry.hash), { name: relay.name, key: relay.key }, []), secrets }
}
