import { randomBytes } from 'node:crypto'
import { toHex } from '../../src/bytes.ts'
import { SpaceKeys } from '../../src/crdt/epoch-secrets.ts'
import { encodeChangesPayload } from '../../src/crdt/payload.ts'
import { spaceKey } from '../../src/crdt/rows.ts'
import { ownActor } from '../../src/crdt/seal.ts'
import { decodeSecrets, type SpaceSecrets } from '../../src/crdt/secrets.ts'
import type { ReplicaStore } from '../../src/crdt/store.ts'
import { loadView } from '../../src/crdt/view-rows.ts'
import { sha256 } from '../../src/crypto/hash.ts'
import { changeTag, sealBody } from '../../src/crypto/keyring.ts'
import type { SigningKey } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import { type DocumentId, idBytes, type SpaceId } from '../../src/ids.ts'
import { authenticationInput } from '../../src/relay/authentication.ts'
import { decodeRelayMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { RelayMessage } from '../../src/relay/messages.ts'
import type { Connection } from '../../src/relay/transport.ts'
import { appendLeaf, type CompactRange, rootOf } from '../../src/verify/compact-range.ts'
import { latestEpoch } from '../../src/verify/control-state.ts'
import { encodeHeader, entryHash, entrySigningInput, type Header, headerContext } from '../../src/verify/entry.ts'
import type { LogView, PinnedRelay } from '../../src/verify/log.ts'
import { knownDocument, type SpaceState } from '../../src/verify/state.ts'
import { Author, type Content } from '../crdt/parking-support.ts'
import type { World } from './world.ts'

/** One actor of a scripted member: what it edits, and its chain in the log. */
export interface Puppet {
  readonly document: DocumentId
  readonly incarnation: Uint8Array
  readonly author: Author
  seq: number
  prev: Uint8Array
  /** Of its latest entry. */
  tag: Uint8Array | undefined
}

interface Identity {
  readonly space: SpaceId
  readonly device: number
  readonly relay: PinnedRelay
  readonly signer: SigningKey
}

/** What it takes to seal: the epoch in force, its keys, and the documents that there are. */
interface Knowledge {
  readonly keys: SpaceKeys
  readonly state: SpaceState
}

/** A member without a replica, which sends whatever its keys allow, under as many actors as it likes. */
export class ScriptedMember {
  readonly #identity: Identity
  readonly #knowledge: () => Promise<Knowledge>
  readonly #connection: Connection
  #range: CompactRange
  #ref = 1
  #onMessage: (message: RelayMessage) => void = () => {}

  /**
   * @param store of a member's replica, which is closed
   * @param friend store of a replica that is open: who goes on in later epochs has it from there by what keys
   */
  static async open(world: World, store: ReplicaStore, space: SpaceId, friend?: ReplicaStore): Promise<ScriptedMember> {
    await store.open()
    const { view, state, secrets } = await read(store, space)
    await store.close()
    const signer = nobleSigningKey(secrets.device.signing)
    const device = [...state.control.devices].find(([, { signing }]) => toHex(signing) === toHex(signer.publicKey))?.[0]
    if (device === undefined) throw new Error('no device of the space')
    const own = { keys: new SpaceKeys(secrets.epochs), state }
    const knowledge = async (): Promise<Knowledge> => {
      if (friend === undefined) return own
      const { secrets, state } = await read(friend, space)
      return { keys: new SpaceKeys(secrets.epochs), state }
    }
    const member = new ScriptedMember(world, { space, device, relay: view.relay, signer }, knowledge, view.range)
    await member.#greet()
    return member
  }

  private constructor(world: World, identity: Identity, knowledge: () => Promise<Knowledge>, range: CompactRange) {
    this.#identity = identity
    this.#knowledge = knowledge
    this.#range = range
    this.#connection = world.platform.transport.connect('ws://relay.test', {
      onOpen: () => {},
      onClose: () => {},
      onFrame: frame => this.#heard(decodeRelayMessage(frame)),
    })
  }

  #heard(message: RelayMessage): void {
    if (message.type === 'sync' && message.batch.from === this.#range.size) {
      for (const { header } of message.batch.entries) this.#range = appendLeaf(this.#range, entryHash(header))
    }
    this.#onMessage(message)
  }

  /** The next message that is an answer to this. */
  #answered(ref: number): Promise<RelayMessage> {
    return new Promise((resolve, reject) => {
      this.#onMessage = message => {
        if (message.type === 'welcome' ? ref === 0 : 'ref' in message && message.ref === ref) {
          if (message.type === 'reject') reject(new Error(`${message.code}: ${message.message}`))
          else resolve(message)
        }
      }
    })
  }

  async #greet(): Promise<void> {
    const { space, signer, relay } = this.#identity
    const welcome = await this.#answered(0)
    if (welcome.type !== 'welcome') throw new Error('no greeting')
    const signature = await signer.sign(authenticationInput(relay, welcome.challenge, space, signer.publicKey))
    const ref = this.#ref++
    const opened = this.#answered(ref)
    const device = signer.publicKey
    const from = this.#range.size
    this.#connection.send(encodeMessage({ type: 'open', ref, space, from, device, signature, wants: undefined }))
    await opened
  }

  puppet(document: DocumentId): Puppet {
    const { space, signer } = this.#identity
    const incarnation = new Uint8Array(randomBytes(8))
    const author = new Author(ownActor(space, document, signer.publicKey, incarnation))
    return { document, incarnation, author, seq: 0, prev: new Uint8Array(32), tag: undefined }
  }

  /**
   * Makes an entry of this content, whatever it is, and has the relay append it.
   * @param onSealed gets the hash of its body before anybody else sees it
   */
  async send(puppet: Puppet, content: Content, onSealed: (bodyHash: Uint8Array) => void = () => {}): Promise<void> {
    const { space, device, signer } = this.#identity
    const { keys, state } = await this.#knowledge()
    const { kind = 'changes', tagged, plain, body, ...payload } = content
    const { document, incarnation } = puppet
    const epoch = latestEpoch(state.control)
    const birth = knownDocument(state, document)?.birthEpoch ?? epoch
    const { content: key, tag } = keys.forDocument(document, birth, epoch)
    const committed = tagged ?? payload.latestHash ?? new Uint8Array(32)
    const draft: Omit<Header, 'bodyHash' | 'bodyLength'> = {
      space: idBytes(space),
      document,
      device,
      incarnation,
      seq: puppet.seq,
      prev: puppet.prev,
      seenSize: this.#range.size,
      seenRoot: rootOf(this.#range),
      epoch,
      kind,
      // An entry that adds no change repeats the tag of its chain, in whatever epoch that was made.
      tag: (kind === 'snapshot' ? puppet.tag : undefined) ?? changeTag(tag, committed),
    }
    const sealed =
      body ??
      sealBody({ key, payload: plain ?? encoded(payload), aad: headerContext(draft), random: bytes, seq: puppet.seq })
    const bodyHash = sha256(sealed)
    onSealed(bodyHash)
    const header = encodeHeader({ ...draft, bodyHash, bodyLength: sealed.length })
    const hash = entryHash(header)
    const signature = await signer.sign(entrySigningInput(hash))
    const ref = this.#ref++
    const pushed = this.#answered(ref)
    this.#connection.send(encodeMessage({ type: 'push', ref, space, entries: [{ header, signature, body: sealed }] }))
    await pushed
    puppet.seq++
    puppet.prev = hash
    puppet.tag = draft.tag
  }

  close(): void {
    this.#connection.close()
  }
}

async function read(
  store: ReplicaStore,
  space: SpaceId,
): Promise<{ readonly view: LogView; readonly state: SpaceState; readonly secrets: SpaceSecrets }> {
  const view = (await loadView(store, space))?.view
  const secrets = decodeSecrets((await store.get(spaceKey(space, 'secrets'))) as Uint8Array)
  if (view?.state === undefined) throw new Error('the member has no view')
  return { view, state: view.state, secrets }
}

const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

function encoded({ encoding = 'raw', latestHash, latestSeq = 1, count = 1, chunks }: Content): Uint8Array {
  const hash = latestHash ?? new Uint8Array(32)
  return encodeChangesPayload({ encoding, latestHash: hash, latestSeq, count, chunks: chunks ?? new Uint8Array(9) })
}
