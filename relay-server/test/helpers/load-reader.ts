import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import {
  authenticationInput,
  decodeRelayMessage,
  encodeMessage,
  fromHex,
  publicKeyOf,
  type SpaceId,
} from 'sealog/protocol'
import { LoadSocket } from './load-socket.ts'

const SYNC = 1

export interface LoadSpace {
  readonly space: SpaceId
  /** Of a device that may read it, 32 bytes in hex. */
  readonly seed: string
}

interface Key {
  readonly publicKey: Uint8Array
  readonly secret: KeyObject
}

const keys = new Map<string, Key>()

/** Signing in JavaScript, ten thousand times, would take longer than all the rest. */
function keyOf(seed: string): Key {
  const known = keys.get(seed)
  if (known !== undefined) return known
  const der = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex')
  const secret = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const key = { publicKey: publicKeyOf(fromHex(seed)), secret }
  keys.set(seed, key)
  return key
}

/** One device that reads one space, from where it was each time that it connects anew. */
export class LoadReader {
  readonly #port: number
  readonly #space: LoadSpace
  #isSlow: boolean
  #socket: LoadSocket | undefined
  /** The first entry that it does not have. */
  position = 0
  isOpen = false
  /** Messages that did not begin where the one before ended. */
  gaps = 0
  refusals = 0
  /** How often the relay, or the network, ended the connection. */
  losses = 0

  /** @param isSlow takes nothing any more once it has the space open, until it is woken */
  constructor(port: number, space: LoadSpace, isSlow: boolean) {
    this.#port = port
    this.#space = space
    this.#isSlow = isSlow
  }

  get isConnected(): boolean {
    return this.#socket !== undefined
  }

  connect(): void {
    this.isOpen = false
    const socket: LoadSocket = new LoadSocket(this.#port, {
      onFrame: frame => {
        this.#take(socket, frame)
        if (this.#isSlow && this.isOpen) socket.pause()
      },
      onClose: () => {
        if (this.#socket !== socket) return
        this.#socket = undefined
        this.isOpen = false
        this.losses++
      },
    })
    this.#socket = socket
  }

  /** A slow reader is slow no more; it learns only now where its connection has ended. */
  wake(): void {
    this.#isSlow = false
    this.#socket?.resume()
  }

  cut(): void {
    const socket = this.#socket
    this.#socket = undefined
    this.isOpen = false
    socket?.cut()
  }

  #take(socket: LoadSocket, frame: Uint8Array): void {
    if (frame[1] === SYNC) {
      const { from, count } = stretchOf(frame)
      if (from !== this.position) this.gaps++
      this.position = from + count
      this.isOpen = true
      return
    }
    const message = decodeRelayMessage(frame)
    if (message.type === 'reject') this.refusals++
    if (message.type !== 'welcome') return
    const { publicKey, secret } = keyOf(this.#space.seed)
    const { space } = this.#space
    const input = authenticationInput(message, message.challenge, space, publicKey)
    const signature = new Uint8Array(sign(null, input, secret))
    const from = this.position
    socket.send(encodeMessage({ type: 'open', ref: 1, space, from, device: publicKey, signature, wants: undefined }))
  }
}

/** Which entries a `sync` holds: its head, without all that it carries (protocol.md §7). */
function stretchOf(frame: Uint8Array): { readonly from: number; readonly count: number } {
  const ref = headAt(frame, 2)
  // Behind it the space: two bytes of head, and 32.
  const from = headAt(frame, ref.end + 34 + 1)
  const entries = headAt(frame, from.end)
  return { from: from.value, count: entries.value }
}

/** The argument of the CBOR item at this place, and where its head ends. */
function headAt(frame: Uint8Array, at: number): { readonly value: number; readonly end: number } {
  const info = (frame[at] ?? 0) & 0x1f
  if (info < 24) return { value: info, end: at + 1 }
  const size = 2 ** (info - 24)
  let value = 0
  for (let i = 1; i <= size; i++) value = value * 256 + (frame[at + i] ?? 0)
  return { value, end: at + 1 + size }
}
