import {
  type ControlState,
  type Cosign,
  cosignaturesIn,
  cosignerName,
  equalBytes,
  type Note,
  parseNote,
  SealogError,
  type SpaceId,
} from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { type Attested, attestedIn, currentCosigners, encodeAttested, isVouched } from './cosigners.ts'
import { ownLineOf, readShownNote } from './own-note.ts'
import type { SkipTarget } from './skip-answer.ts'
import type { SpaceSequencer } from './space-sequencer.ts'
import { readRoot } from './tree-proofs.ts'

/** A note has at most 16 signatures, one of them the relay's. */
const MAX_COSIGNATURES = 15
/** A device may cosign once in this time, in milliseconds, … */
const COSIGN_INTERVAL = 10_000
/** … or when the log has grown by so much. */
const COSIGN_ENTRIES = 256

/** When a device last cosigned, and how long the log was by then. */
interface LastCosigned {
  readonly time: number
  readonly size: number
}

/**
 * The checkpoints of one space that members have cosigned (C2SP tlog-cosignature, DESIGN §5.4). Only notes that this
 * relay has signed itself are kept, each with cosignatures that verified, one for each member; so a member can add its
 * own word to what the relay says, and nothing else. Who is removed later no longer counts, and is no longer shown.
 */
export class Cosignatures {
  readonly #context: RelayContext
  readonly #sequencer: SpaceSequencer
  readonly #last = new Map<number, LastCosigned>()

  constructor(context: RelayContext, sequencer: SpaceSequencer) {
    this.#context = context
    this.#sequencer = sequencer
  }

  /**
   * Takes a note with the cosignature of a device.
   * @param device number of the device that is authenticated
   * @throws SealogError ERR_SIGNATURE, ERR_UNAUTHORIZED, ERR_UNEXPECTED, ERR_RATE_LIMITED; ERR_RELAY_BEHIND where the
   * note shows that this relay has lost entries
   */
  async take(message: Cosign, device: number): Promise<void> {
    const control = this.#control()
    this.#limitRate(device)
    const note = await readShownNote(this.#context, this.#space, message.note)
    await this.#assertOwnLog(note)
    const cosigned = await this.#verified(note, control, device)
    await this.#sequencer.inLine(() => this.#keep(cosigned))
  }

  /** The largest kept checkpoint from `from` on that is enough for the one who asks. */
  async find(asking: {
    readonly device: number
    readonly attestations: number
    readonly from: number
  }): Promise<SkipTarget | undefined> {
    const control = this.#control()
    for (const attested of await this.#kept(control)) {
      const { size } = attested.note.checkpoint
      if (size < asking.from) return undefined
      if (isVouched(attested, control, asking)) return { size, note: encodeAttested(attested) }
    }
    return undefined
  }

  /** The kept note of this size, or that of the signed head; empty where neither is. */
  async noteOf(size: number): Promise<Uint8Array> {
    const kept = (await this.#kept(this.#control())).find(({ note }) => note.checkpoint.size === size)
    if (kept !== undefined) return encodeAttested(kept)
    const { head } = this.#sequencer
    return head !== undefined && head.checkpoint.size === size ? head.note : new Uint8Array(0)
  }

  get #space(): SpaceId {
    return this.#sequencer.space
  }

  #control(): ControlState {
    const { state } = this.#sequencer
    if (state === undefined) throw new SealogError('ERR_UNKNOWN_SPACE', 'the space has no entries')
    return state.control
  }

  /** Counts whatever comes, as telling good from bad is what takes time. */
  #limitRate(device: number): void {
    const now = this.#context.environment.now()
    const last = this.#last.get(device)
    const due = last === undefined ? now : last.time + COSIGN_INTERVAL
    const { size } = this.#sequencer
    if (now < due && size < (last?.size ?? 0) + COSIGN_ENTRIES) {
      const details = { retryAfter: due - now }
      throw new SealogError('ERR_RATE_LIMITED', 'a device cosigns once in a while', { details })
    }
    this.#last.set(device, { time: now, size })
  }

  async #assertOwnLog(note: Note): Promise<void> {
    const { checkpoint } = note
    if (checkpoint.size > (this.#sequencer.head?.checkpoint.size ?? 0)) {
      await this.#sequencer.fallBehind(note)
      this.#sequencer.assertLevel()
    }
    if (checkpoint.size === 0) throw new SealogError('ERR_UNEXPECTED', 'a note about nothing')
    const root = await readRoot(this.#context.store, this.#space, checkpoint.size)
    if (equalBytes(root, checkpoint.root)) return
    this.#context.log({ level: 'error', event: 'signed-another-log', space: this.#space, size: checkpoint.size })
    throw new SealogError('ERR_UNEXPECTED', 'the note is about another log than the one that is stored')
  }

  /** The note with this one cosignature alone: what else stands in it is somebody's claim. */
  async #verified(note: Note, control: ControlState, device: number): Promise<Attested> {
    const cosigner = currentCosigners(control).find(({ number }) => number === device)
    if (cosigner === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'not a device that may cosign')
    const name = cosignerName(this.#space, device)
    const lines = note.signatures.filter(line => line.name === name)
    const [line] = lines
    const [claimed] = cosignaturesIn(note, this.#space, [cosigner])
    if (line === undefined || lines.length > 1 || claimed === undefined) {
      throw new SealogError('ERR_SIGNATURE', 'expected one cosignature of this device')
    }
    if (!(await this.#context.verifier.verify(claimed.check))) {
      throw new SealogError('ERR_SIGNATURE', 'the cosignature does not verify')
    }
    return { note, own: ownLineOf(this.#context, note), lines: [{ device, member: cosigner.member, line }] }
  }

  /**
   * Cosignatures add up only over the very same text. Of two texts of one size, which differ in their time alone, the
   * one with more cosigners stays; of equals the one that came last.
   */
  async #keep({ note, own, lines }: Attested): Promise<void> {
    const { size } = note.checkpoint
    const kept = (await this.#kept(this.#control())).find(other => other.note.checkpoint.size === size)
    const isSame = kept !== undefined && equalBytes(kept.note.text, note.text)
    if (kept !== undefined && !isSame && kept.lines.length > lines.length) return
    const members = new Set(lines.map(item => item.member))
    const others = isSame ? kept.lines.filter(item => !members.has(item.member)) : []
    const all = [...others, ...lines].slice(-MAX_COSIGNATURES)
    await this.#context.store.putCosigned(this.#space, size, encodeAttested({ note, own, lines: all }))
  }

  /** The largest first; without those that nobody answers for any more. */
  async #kept(control: ControlState): Promise<readonly Attested[]> {
    const notes = await this.#context.store.readCosigned(this.#space)
    return notes
      .map(bytes => attestedIn(parseNote(bytes), this.#space, control))
      .filter(({ lines }) => lines.length > 0)
  }
}
