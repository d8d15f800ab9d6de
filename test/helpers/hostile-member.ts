import { toHex } from '../../src/bytes.ts'
import { spaceKey } from '../../src/crdt/rows.ts'
import { ownActor } from '../../src/crdt/seal.ts'
import { decodeSecrets, SpaceKeys } from '../../src/crdt/secrets.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { loadView } from '../../src/crdt/view-rows.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { changeTag, sealBody } from '../../src/crypto/keyring.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import { type ActorId, type DocumentId, idBytes, type SpaceId } from '../../src/ids.ts'
import { authenticationInput } from '../../src/relay/authentication.ts'
import { decodeRelayMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage } from '../../src/relay/messages.ts'
import { rootOf } from '../../src/verify/compact-range.ts'
import { encodeHeader, entryHash, entrySigningInput, type Header, headerContext } from '../../src/verify/entry.ts'
import type { World } from './world.ts'

export interface Forgery {
  readonly actor: ActorId
  /** Plaintext payload; a function gets the actor that it will be attributed to. */
  readonly payload: Uint8Array
  /** The change that the header's tag commits to, 32 bytes. */
  readonly tagged: Uint8Array
  /** What travels as the body, in place of the sealed payload. */
  readonly body?: Uint8Array
  /** By default `changes`. */
  readonly kind?: Header['kind']
}

/**
 * A member that sends whatever its keys allow: one entry with this content, under a fresh incarnation.
 * @param store of the member's replica, which is closed
 */
export async function sendAsMember(
  world: World,
  store: ReplicaStore,
  space: SpaceId,
  document: DocumentId,
  forge: (actor: ActorId) => Omit<Forgery, 'actor'>,
): Promise<void> {
  await store.open()
  const stored = await loadView(store, space)
  const secrets = decodeSecrets((await store.get(spaceKey(space, 'secrets'))) as Uint8Array)
  await store.close()
  if (stored?.view.state === undefined) throw new Error('the member has no view')
  const { view } = stored
  const signer = nobleSigningKey(secrets.device.signing)
  const incarnation = world.platform.environment.random(8)
  const actor = ownActor(space, document, signer.publicKey, incarnation)
  const { payload, tagged, body, kind = 'changes' } = forge(actor)
  const number = [...(view.state?.control.devices ?? [])].find(
    ([, device]) => toHex(device.signing) === toHex(signer.publicKey),
  )?.[0]
  const keys = new SpaceKeys(secrets.epochs).forDocument(document, 0, 0)
  const draft: Omit<Header, 'bodyHash' | 'bodyLength'> = {
    space: idBytes(space),
    document,
    device: number ?? -1,
    incarnation,
    seq: 0,
    prev: new Uint8Array(32),
    seenSize: view.range.size,
    seenRoot: rootOf(view.range),
    epoch: 0,
    kind,
    tag: changeTag(keys.tag, tagged),
  }
  const { random } = world.platform.environment
  const sealed = body ?? sealBody({ key: keys.content, payload, aad: headerContext(draft), random, seq: 0 })
  const header = encodeHeader({ ...draft, bodyHash: sha256(sealed), bodyLength: sealed.length })
  const signature = await signer.sign(entrySigningInput(entryHash(header)))
  const before = await world.logSize(space)
  await new Promise<void>((resolve, reject) => {
    const connection = world.platform.transport.connect('ws://relay.test', {
      onOpen: () => {},
      onClose: () => reject(new Error('closed')),
      onFrame: frame => void onMessage(decodeRelayMessage(frame)).catch(reject),
    })
    const onMessage = async (message: RelayMessage): Promise<void> => {
      if (message.type === 'welcome') {
        const input = authenticationInput(view.relay, message.challenge, space, signer.publicKey)
        connection.send(
          encodeMessage({
            type: 'open',
            ref: 1,
            space,
            from: view.range.size,
            device: signer.publicKey,
            signature: await signer.sign(input),
            wants: undefined,
          }),
        )
      } else if (message.type === 'reject') reject(new Error(`${message.code}: ${message.message}`))
      else if (message.type === 'sync' && message.ref === 1) {
        connection.send(encodeMessage({ type: 'push', ref: 2, space, entries: [{ header, signature, body: sealed }] }))
      } else if (message.type === 'sync' && (await world.logSize(space)) > before) {
        connection.close()
        resolve()
      }
    }
  })
}
