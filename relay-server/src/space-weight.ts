import { documentsOf, mapSize, type SpaceState } from 'sealog/protocol'
import type { SpaceView } from './judge.ts'

/** What a space takes in memory, in bytes, however little there is to it: a sequencer, a tree, control state. */
const SPACE: number = 16 * 1024
/** And for each device, document and actor: records, their keys and hashes, and a path of the state map. */
const RECORD = 1024
/** Entries after which it is looked at anew, at least. */
const LEAST_GROWTH = 1024

/**
 * About how much memory an open space takes, in bytes. Bringing it back from the store takes time in proportion, as each
 * record is read and hashed. It is measured again only when the log has grown by as many entries as there were records,
 * so that measuring never costs more than what it measures.
 */
export class SpaceWeight {
  readonly #view: () => SpaceView
  #records = 0
  #size = -1

  /** @param view what is in memory by now */
  constructor(view: () => SpaceView) {
    this.#view = view
  }

  get bytes(): number {
    const { range, state } = this.#view()
    if (this.#size < 0 || range.size - this.#size >= Math.max(LEAST_GROWTH, this.#records)) {
      this.#size = range.size
      this.#records = state === undefined ? 0 : recordsOf(state)
    }
    return SPACE + this.#records * RECORD
  }
}

function recordsOf(state: SpaceState): number {
  let records = state.control.devices.size
  for (const { actors } of documentsOf(state)) records += 1 + mapSize(actors)
  return records
}
