import { SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import { spaceKey } from '../../src/crdt/rows.ts'
import { type SealContext, sealSnapshot } from '../../src/crdt/seal.ts'
import { decodeSecrets } from '../../src/crdt/secrets.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { loadView } from '../../src/crdt/view-rows.ts'
import { changeTag } from '../../src/crypto/keyring.ts'
import type { ActorId, DocumentId, SpaceId } from '../../src/ids.ts'
import { authenticationInput } from '../../src/relay/authentication.ts'
import { decodeRelayMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage } from '../../src/relay/messages.ts'
import { actorsOf, type DocumentRecord, knownDocument } from '../../src/verify/state.ts'
import { deviceOf } from './members.ts'
import type { World } from './world.ts'

/** The end of an actor's chain, as the log has it. */
export interface ChainEnd {
  readonly actor: ActorId
  readonly seq: number
  readonly hash: Uint8Array
}

/**
 * A member that hands in a snapshot with whatever payload it likes, sealed and signed by the book, on a connection and
 * in a chain of its own.
 * @param store of the member's replica, open, and level with the log
 * @param payloadFor plaintext of the snapshot, from what the log has of the document
 * @returns the entry's place in the log
 */
export async function sendSnapshot(
  world: World,
  store: ReplicaStore,
  space: SpaceId,
  document: DocumentId,
  payloadFor: (ends: readonly ChainEnd[]) => Uint8Array,
): Promise<number> {
  const context = await contextOf(world, store, space)
  const record = knownDocument(context.view.state, document) as DocumentRecord
  const payload = payloadFor([...actorsOf(record)].map(({ actor, seq, hash }) => ({ actor, seq, hash })))
  const tagOfNothing = (epoch: number): Uint8Array =>
    changeTag(context.keys.forDocument(document, record.birthEpoch, epoch).tag, new Uint8Array(32))
  const sealed = await sealSnapshot(context, document, context.random(8), payload, tagOfNothing)
  const index = await world.logSize(space)
  const { view, signer } = context
  await new Promise<void>((resolve, reject) => {
    const connection = world.platform.transport.connect('ws://relay.test', {
      onOpen: () => {},
      onClose: () => reject(new Error('closed')),
      onFrame: frame => void onMessage(decodeRelayMessage(frame)).catch(reject),
    })
    const onMessage = async (message: RelayMessage): Promise<void> => {
      if (message.type === 'welcome') {
        const signature = await signer.sign(authenticationInput(view.relay, message.challenge, space, signer.publicKey))
        const from = view.range.size
        const open = {
          type: 'open',
          ref: 1,
          space,
          from,
          device: signer.publicKey,
          signature,
          wants: undefined,
        } as const
        connection.send(encodeMessage(open))
      } else if (message.type === 'reject') reject(new Error(`${message.code}: ${message.message}`))
      else if (message.type === 'sync' && message.ref === 1) {
        const { header, signature, body } = sealed
        connection.send(encodeMessage({ type: 'push', ref: 2, space, entries: [{ header, signature, body }] }))
      } else if (message.type === 'sync' && (await world.logSize(space)) > index) {
        resolve()
        connection.close()
      }
    }
  })
  return index
}

async function contextOf(world: World, store: ReplicaStore, space: SpaceId): Promise<SealContext> {
  const stored = await loadView(store, space)
  if (stored === undefined) throw new Error('the member has no view')
  const secrets = decodeSecrets((await store.get(spaceKey(space, 'secrets'))) as Uint8Array)
  const { number, signer } = await deviceOf(store, space)
  const { random } = world.platform.environment
  return { view: stored.view, keys: new SpaceKeys(secrets.epochs), signer, device: number, random }
}
