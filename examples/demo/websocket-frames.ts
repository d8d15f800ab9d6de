/** One frame of a WebSocket (RFC 6455 §5.2). */
export interface Frame {
  /** As it was on the wire. */
  readonly raw: Uint8Array
  readonly opcode: number
  /** Is this the whole message? */
  readonly isWhole: boolean
  /** Without the mask that clients put on. */
  readonly payload: Uint8Array
}

export const BINARY = 2
const END_OF_HEAD = '\r\n\r\n'

/** Cuts one direction of a connection into the head of the HTTP handshake and the frames that follow. */
export class FrameReader {
  #rest: Uint8Array = new Uint8Array(0)
  #isInHead = true

  /** @returns what became complete with these bytes, in order */
  read(bytes: Uint8Array): { readonly head: Uint8Array | undefined; readonly frames: readonly Frame[] } {
    this.#rest = join(this.#rest, bytes)
    const head = this.#isInHead ? this.#takeHead() : undefined
    const frames: Frame[] = []
    if (!this.#isInHead) {
      for (let frame = this.#takeFrame(); frame !== undefined; frame = this.#takeFrame()) frames.push(frame)
    }
    return { head, frames }
  }

  #takeHead(): Uint8Array | undefined {
    const end = new TextDecoder('latin1').decode(this.#rest).indexOf(END_OF_HEAD)
    if (end < 0) return undefined
    this.#isInHead = false
    return this.#take(end + END_OF_HEAD.length)
  }

  #takeFrame(): Frame | undefined {
    const bytes = this.#rest
    if (bytes.length < 2) return undefined
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const [first, second] = [view.getUint8(0), view.getUint8(1)]
    const short = second & 0x7f
    const lengthBytes = short === 126 ? 2 : short === 127 ? 8 : 0
    const start = 2 + lengthBytes + (second >= 0x80 ? 4 : 0)
    if (bytes.length < start) return undefined
    const length = lengthBytes === 2 ? view.getUint16(2) : lengthBytes === 8 ? Number(view.getBigUint64(2)) : short
    if (bytes.length < start + length) return undefined
    const raw = this.#take(start + length)
    const payload = second >= 0x80 ? unmasked(raw, start) : raw.subarray(start)
    return { raw, opcode: first & 0x0f, isWhole: first >= 0x80 && (first & 0x0f) !== 0, payload }
  }

  #take(length: number): Uint8Array {
    const taken = this.#rest.subarray(0, length)
    this.#rest = this.#rest.subarray(length)
    return taken
  }
}

/** A whole message as a server sends it: one frame without a mask. */
export function encodeFrame(opcode: number, payload: Uint8Array): Uint8Array {
  const { length } = payload
  const lengthBytes = length < 126 ? 0 : length < 65_536 ? 2 : 8
  const frame = new Uint8Array(2 + lengthBytes + length)
  const view = new DataView(frame.buffer)
  view.setUint8(0, 0x80 | opcode)
  view.setUint8(1, lengthBytes === 0 ? length : lengthBytes === 2 ? 126 : 127)
  if (lengthBytes === 2) view.setUint16(2, length)
  if (lengthBytes === 8) view.setBigUint64(2, BigInt(length))
  frame.set(payload, 2 + lengthBytes)
  return frame
}

function unmasked(raw: Uint8Array, start: number): Uint8Array {
  const mask = raw.subarray(start - 4, start)
  return raw.slice(start).map((byte, i) => byte ^ (mask[i & 3] as number))
}

function join(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length === 0) return b
  const joined = new Uint8Array(a.length + b.length)
  joined.set(a)
  joined.set(b, a.length)
  return joined
}
