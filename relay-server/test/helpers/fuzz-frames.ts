import {
  type ActorId,
  type Cbor,
  type DocumentId,
  decodeCbor,
  encodeCbor,
  encodeMessage,
  MAX_FRAME_LENGTH,
  type Message,
  type SpaceId,
  toHex,
} from 'sealog/protocol'

/** Choices that a seed determines. */
export interface Dice {
  below(limit: number): number
  chance(probability: number): boolean
  pick<T>(items: readonly T[]): T
  bytes(length: number): Uint8Array
}

export function diceOf(seed: number): Dice {
  let state = seed >>> 0
  // A Weyl sequence through a mixing function: quick, as every byte takes a turn.
  function next(): number {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return (mixed ^ (mixed >>> 15)) >>> 0
  }
  const fraction = (): number => next() / 2 ** 32
  const below = (limit: number): number => Math.floor(fraction() * limit)
  return {
    below,
    chance: probability => fraction() < probability,
    pick<T>(items: readonly T[]): T {
      const item = items[below(items.length)]
      if (item === undefined) throw new TypeError('items: expected some')
      return item
    },
    bytes: length => Uint8Array.from({ length }, () => below(256)),
  }
}

/** What there is in a space, so that frames can be about it. */
export interface Surroundings {
  readonly spaces: readonly SpaceId[]
  readonly documents: readonly DocumentId[]
  readonly actors: readonly ActorId[]
  readonly device: Uint8Array
  readonly note: Uint8Array
  readonly entries: readonly {
    readonly header: Uint8Array
    readonly signature: Uint8Array
    readonly body: Uint8Array
  }[]
}

/** Where limits and encodings change. */
const NUMBERS = [0, 1, 2, 3, 5, 23, 24, 255, 256, 4096, 65_535, 65_536, 262_144, 262_145, 2 ** 26, 2 ** 26 + 1]
const LARGE_NUMBERS = [2 ** 31, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]

/** A message of each type, sensible in form, and about what there is more often than not. */
function anyMessage(dice: Dice, around: Surroundings): Message {
  const number = (): number => (dice.chance(0.8) ? dice.below(8) : dice.pick([...NUMBERS, ...LARGE_NUMBERS]))
  const ref = dice.chance(0.9) ? 1 + dice.below(1000) : number()
  const space = dice.chance(0.85) ? dice.pick(around.spaces) : (toHex(dice.bytes(32)) as SpaceId)
  const document = dice.chance(0.7) ? dice.pick(around.documents) : (toHex(dice.bytes(16)) as DocumentId)
  const actor = dice.chance(0.7) ? dice.pick(around.actors) : (toHex(dice.bytes(16)) as ActorId)
  const hash = dice.bytes(32)
  const signature = dice.bytes(64)
  const bytes = dice.bytes(dice.pick([0, 1, 3, 100, 700]))
  const note = dice.chance(0.6) ? around.note : dice.bytes(dice.below(300))
  const entries = Array.from({ length: dice.pick([0, 1, 1, 2, 5]) }, () => {
    const { header, signature: own, body } = dice.pick(around.entries)
    return {
      header,
      signature: dice.chance(0.8) ? own : signature,
      body: dice.chance(0.8) ? body : undefined,
      wraps: dice.chance(0.1) ? hash : undefined,
    }
  })
  const more = dice.chance(0.5)
  const wants = dice.chance(0.5) ? undefined : Array.from({ length: dice.below(4) }, () => document)
  const prove = Array.from({ length: dice.below(4) }, number)
  const from = number()
  const choices: readonly (() => Message)[] = [
    () => ({ type: 'open', ref, space, from, device: around.device, signature, wants }),
    () => ({ type: 'pull', ref, space }),
    () => ({ type: 'push', ref, space, entries }),
    () => ({ type: 'put-body', ref, space, hash, length: number(), offset: number(), bytes }),
    () => ({ type: 'get-body', ref, space, index: from, offset: number() }),
    () => ({ type: 'leave', space }),
    () => ({ type: 'skip', ref, space, at: number(), from, attestations: number(), prove }),
    () => ({ type: 'get-document', ref, space, document, snapshot: dice.below(3) }),
    () => ({ type: 'get-chain', ref, space, document, actor, from, to: number() }),
    () => ({ type: 'get-keys', ref, space, from, to: number() }),
    () => ({ type: 'read', ref, space, from, to: number() }),
    () => ({ type: 'cosign', ref, space, note }),
    () => ({ type: 'restore', ref, space, note, from, entries, more }),
    () => ({ type: 'put-mailbox', ref, address: around.device, counter: number(), bytes, signature }),
    () => ({ type: 'get-mailbox', ref, address: hash, signature }),
    // What only a relay says.
    () => ({ type: 'welcome', version: from, name: 'relay.test', key: hash, challenge: hash }),
    () => ({ type: 'received', ref, space }),
    () => ({ type: 'reject', ref, space, code: 'ERR_LIMIT', message: 'no', position: from, retryAfter: 0 }),
    () => ({ type: 'body-part', ref, space, offset: from, bytes }),
    () => ({ type: 'mailbox', ref, address: hash, counter: from, bytes, signature }),
  ]
  return dice.pick(choices)()
}

/** The same message with something wrong in it; or, rarely, right. */
function mutated(dice: Dice, frame: Uint8Array): Uint8Array {
  switch (dice.below(8)) {
    case 0:
      return frame
    case 1:
      return frame.slice(0, dice.below(frame.length + 1))
    case 2:
      // Now and then more than any frame may have.
      return joined(frame, dice.chance(0.05) ? new Uint8Array(MAX_FRAME_LENGTH) : dice.bytes(1 + dice.below(9)))
    case 3:
      return joined(frame.slice(0, dice.below(frame.length)), frame.slice(dice.below(frame.length)))
    case 4:
    case 5:
      return withBytesChanged(dice, frame)
    default:
      return withItemChanged(dice, frame)
  }
}

function joined(left: Uint8Array, right: Uint8Array): Uint8Array {
  const out = new Uint8Array(Math.min(left.length + right.length, MAX_FRAME_LENGTH + 1))
  out.set(left.subarray(0, out.length))
  out.set(right.subarray(0, out.length - left.length), left.length)
  return out
}

function withBytesChanged(dice: Dice, frame: Uint8Array): Uint8Array {
  const copy = frame.slice()
  // Heads of items stand near the beginning more often than not.
  const reach = dice.chance(0.5) ? Math.min(80, copy.length) : copy.length
  for (let i = 0; i <= dice.below(4); i++) copy[dice.below(reach)] = dice.below(256)
  return copy
}

/** Still deterministic CBOR, but with an item of another type or length, too many of them, or one too few. */
function withItemChanged(dice: Dice, frame: Uint8Array): Uint8Array {
  let item: Cbor
  try {
    item = decodeCbor(frame, MAX_FRAME_LENGTH)
  } catch {
    return withBytesChanged(dice, frame)
  }
  return encodeCbor(changed(dice, item, 0))
}

function changed(dice: Dice, item: Cbor, depth: number): Cbor {
  if (isList(item) && item.length > 0 && (depth === 0 || dice.chance(0.7))) {
    const at = dice.below(item.length)
    const before = item.slice(0, at)
    const after = item.slice(at + 1)
    const self = item[at] as Cbor
    switch (dice.below(6)) {
      case 0:
        return [...before, ...after]
      case 1:
        return [...before, self, self, ...after]
      case 2:
        return [...item.slice(0, 1), ...item.slice(1).reverse()]
      default:
        return [...before, changed(dice, self, depth + 1), ...after]
    }
  }
  return anyItem(dice, item)
}

function anyItem(dice: Dice, item: Cbor): Cbor {
  if (item instanceof Uint8Array && dice.chance(0.6)) {
    return dice.pick([item.subarray(1), joined(item, Uint8Array.of(0)), dice.bytes(item.length), new Uint8Array(0)])
  }
  if (typeof item === 'number' && dice.chance(0.6)) return dice.pick([...NUMBERS, ...LARGE_NUMBERS])
  let nested: Cbor = 0
  for (let i = 0; i < dice.below(20); i++) nested = [nested]
  const list = Array.from({ length: dice.pick([0, 1, 5000]) }, () => 0)
  return dice.pick<Cbor>([0, Number.MAX_SAFE_INTEGER, '', 'text', new Uint8Array(0), dice.bytes(32), [], nested, list])
}

function isList(item: Cbor): item is readonly Cbor[] {
  return Array.isArray(item)
}

/** A frame of any kind. */
export function anyFrame(dice: Dice, around: Surroundings): Uint8Array {
  if (dice.chance(0.05)) return dice.bytes(dice.below(60))
  const frame = encodeMessage(anyMessage(dice, around))
  return dice.chance(0.6) ? frame : mutated(dice, frame)
}
