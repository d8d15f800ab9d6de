import { bytesOf, type Format, record, uint } from '../format.ts'

/** Where an entry stands in its actor's chain. */
export interface ChainPlace {
  readonly seq: number
  /** Leaf hash of the entry before, 32 bytes; zero bytes at seq 0. */
  readonly prev: Uint8Array
}

/** An entry of an actor's chain. */
export interface ChainEnd {
  readonly seq: number
  /** Its leaf hash, 32 bytes. */
  readonly hash: Uint8Array
}

/** The entry before the one that stands here. */
export function entryBefore({ seq, prev }: ChainPlace): ChainEnd | undefined {
  return seq === 0 ? undefined : { seq: seq - 1, hash: prev }
}

/** The latest Automerge change of an actor that a proven entry brought. */
export interface ChangeTip {
  readonly seq: number
  /** Automerge change hash, 32 bytes. */
  readonly hash: Uint8Array
}

export const chainPlace: Format<ChainPlace> = record({ seq: uint, prev: bytesOf(32) })
export const chainEnd: Format<ChainEnd> = record({ seq: uint, hash: bytesOf(32) })
export const changeTip: Format<ChangeTip> = record({ seq: uint, hash: bytesOf(32) })
