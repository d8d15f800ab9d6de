import type { SigningKey } from '../crypto/sign.ts'
import type { Environment } from '../environment.ts'
import { encodeNote, parseNote } from '../verify/checkpoint.ts'
import { cosign } from '../verify/cosignature.ts'
import { isCurrent, type LogView } from '../verify/log.ts'
import type { SpaceChannel } from './space-channel.ts'

/** A checkpoint is cosigned after so many entries, or up to twice as many. */
export const COSIGN_ENTRIES = 512

export interface CosignerOptions {
  readonly channel: SpaceChannel
  readonly environment: Environment
  readonly entries: number
}

/**
 * States from time to time that this device has verified the whole log up to a checkpoint (C2SP tlog-cosignature), so
 * that other members may skip to it (DESIGN §5.4).
 */
export class Cosigner {
  readonly #options: CosignerOptions
  #last = 0
  #next: number
  #isRunning = false

  constructor(options: CosignerOptions) {
    this.#options = options
    this.#next = this.#jittered()
  }

  /**
   * @param note the relay's note of the view's head
   * @param device number of the own device
   */
  async resume(view: LogView, note: Uint8Array, device: number, signer: SigningKey): Promise<void> {
    const { size } = view.range
    if (this.#isRunning || !isCurrent(view) || size - this.#last < this.#next) return
    this.#isRunning = true
    try {
      const { checkpoint, text, signatures } = parseNote(note)
      const time = Math.floor(this.#options.environment.now() / 1000)
      const line = await cosign(text, view.space, device, time, signer)
      await this.#options.channel.cosign(encodeNote(checkpoint, [...signatures, line]))
    } catch {
      // A relay that does not take it now is asked again after as many entries: nothing of one's own depends on it.
    }
    this.#last = size
    this.#next = this.#jittered()
    this.#isRunning = false
  }

  #jittered(): number {
    const { environment, entries } = this.#options
    return Math.ceil(entries * (1 + (environment.random(1)[0] ?? 0) / 255))
  }
}
