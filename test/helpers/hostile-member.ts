import { toHex } from '../../src/bytes.ts'
import { SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import { spaceKey } from '../../src/crdt/rows.ts'
import { ownActor } from '../../src/crdt/seal.ts'
import { decodeSecrets, type SpaceSecrets } from '../../src/crdt/secrets.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { loadView } from '../../src/crdt/view-rows.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { changeTag, sealBody } from '../../src/crypto/keyring.ts'
import type { SigningKey } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import { type ActorId, type DocumentId, idBytes, type SpaceId } from '../../src/ids.ts'
import { authenticationInput } from '../../src/relay/authentication.ts'
import { decodeRelayMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage, ReplicaMessage } from '../../src/relay/messages.ts'
import { rootOf } from '../../src/verify/compact-range.ts'
import { latestEpoch } from '../../src/verify/control-state.ts'
import {
  encodeHeader,
  entryHash,
  entrySigningInput,
  type Header,
  headerContext,
  type SignedEntry,
} from '../../src/verify/entry.ts'
import type { LogView } from '../../src/verify/log.ts'
import { knownDocument, type SpaceState } from '../../src/verify/state.ts'
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
  const { secrets, view, state } = await openMember(store, space)
  const signer = nobleSigningKey(secrets.device.signing)
  const incarnation = world.platform.environment.random(8)
  const actor = ownActor(space, document, signer.publicKey, incarnation)
  const { payload, tagged, body, kind = 'changes' } = forge(actor)
  const number = [...state.control.devices].find(([, device]) => toHex(device.signing) === toHex(signer.publicKey))?.[0]
  const epoch = latestEpoch(state.control)
  const birth = knownDocument(state, document)?.birthEpoch ?? epoch
  const keys = new SpaceKeys(secrets.epochs).forDocument(document, birth, epoch)
  const draft: Omit<Header, 'bodyHash' | 'bodyLength'> = {
    space: idBytes(space),
    document,
    device: number ?? -1,
    incarnation,
    seq: 0,
    prev: new Uint8Array(32),
    seenSize: view.range.size,
    seenRoot: rootOf(view.range),
    epoch,
    kind,
    tag: changeTag(keys.tag, tagged),
  }
  const { random } = world.platform.environment
  const sealed = body ?? sealBody({ key: keys.content, payload, aad: headerContext(draft), random, seq: 0 })
  const header = encodeHeader({ ...draft, bodyHash: sha256(sealed), bodyLength: sealed.length })
  const signature = await signer.sign(entrySigningInput(entryHash(header)))
  await pushAs(world, view, signer, [{ header, signature, body: sealed }])
}

/** What a member's device keeps, read out of its store, which is closed. */
export interface StoredMember {
  readonly secrets: SpaceSecrets
  readonly view: LogView
  readonly state: SpaceState
}

export async function openMember(store: ReplicaStore, space: SpaceId): Promise<StoredMember> {
  await store.open()
  const stored = await loadView(store, space)
  const secrets = decodeSecrets((await store.get(spaceKey(space, 'secrets'))) as Uint8Array)
  await store.close()
  const state = stored?.view.state
  if (stored === undefined || state === undefined) throw new Error('the member has no view')
  return { secrets, view: stored.view, state }
}

/**
 * Has the relay append what a device signed on top of its view.
 * @param wraps of the one entry that delivers some, one after the other
 */
export async function pushAs(
  world: World,
  view: LogView,
  signer: SigningKey,
  entries: readonly SignedEntry[],
  wraps?: Uint8Array,
): Promise<void> {
  const { space } = view
  const last = entries.at(-1)
  const awaited = last && toHex(entryHash(last.header))
  await new Promise<void>((resolve, reject) => {
    const connection = world.platform.transport.connect('ws://relay.test', {
      onOpen: () => {},
      onClose: () => reject(new Error('closed')),
      onFrame: frame => void onMessage(decodeRelayMessage(frame)).catch(reject),
    })
    const send = (message: ReplicaMessage): void => connection.send(encodeMessage(message))
    const push = (): void => {
      const hash = wraps && sha256(wraps)
      send({ type: 'push', ref: 3, space, entries: entries.map(entry => ({ ...entry, wraps: hash })) })
    }
    const onMessage = async (message: RelayMessage): Promise<void> => {
      if (message.type === 'welcome') {
        const input = authenticationInput(view.relay, message.challenge, space, signer.publicKey)
        send({
          type: 'open',
          ref: 1,
          space,
          from: view.range.size,
          device: signer.publicKey,
          signature: await signer.sign(input),
          wants: undefined,
        })
      } else if (message.type === 'reject') {
        connection.close()
        reject(new Error(`${message.code}: ${message.message}`))
      } else if (message.type === 'sync' && message.ref === 1) {
        if (wraps === undefined) push()
        else
          send({ type: 'put-body', ref: 2, space, hash: sha256(wraps), length: wraps.length, offset: 0, bytes: wraps })
      } else if (message.type === 'received' && message.ref === 2) push()
      else if (
        message.type === 'sync' &&
        message.batch.entries.some(({ header }) => toHex(entryHash(header)) === awaited)
      ) {
        connection.close()
        resolve()
      }
    }
  })
}
