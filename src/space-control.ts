import type { Writing } from './crdt/membership.ts'
import type { PreparedControl } from './crdt/outbox.ts'
import { canRotate } from './crdt/rotation.ts'
import type { SpaceSync } from './crdt/space-sync.ts'
import { ZERO_32 } from './crypto/hash.ts'
import type { Environment } from './environment.ts'
import { SealogError } from './errors.ts'
import { CONTROL_DOCUMENT, idBytes, type SpaceId } from './ids.ts'
import type { ControlBody } from './verify/control.ts'
import { encodeControlBody } from './verify/control-codec.ts'
import { applyControl } from './verify/control-rules.ts'
import { type ControlState, latestEpoch } from './verify/control-state.ts'
import type { WaitOptions } from './waiting.ts'

export interface ControlWriterOptions {
  readonly space: SpaceId
  readonly environment: Environment
  readonly sync: SpaceSync
  /**
   * Runs `task` within the limits of the caller, once the log is here as far as the relay has it.
   * @param needsKeys and once the epoch is one that this member may seal names and keys under
   */
  readonly whenCurrent: <T>(
    limits: WaitOptions,
    needsKeys: boolean,
    task: (control: ControlState) => Promise<T>,
  ) => Promise<T>
}

/**
 * Writes control entries as one member (DESIGN §4). What people do about each other, to their devices and to the policy
 * goes out here: made on the log as it is then, and held against the rules that everybody will hold it against.
 */
export class ControlWriter {
  readonly #options: ControlWriterOptions

  constructor(options: ControlWriterOptions) {
    this.#options = options
  }

  get sync(): SpaceSync {
    return this.#options.sync
  }

  get environment(): Environment {
    return this.#options.environment
  }

  get control(): ControlState | undefined {
    return this.sync.view.state?.control
  }

  /** Runs `task` within the limits of the caller, once the log is here as far as the relay has it. */
  current<T>(limits: WaitOptions, task: (control: ControlState) => Promise<T>): Promise<T> {
    return this.#options.whenCurrent(limits, false, task)
  }

  /** The same, once the epoch is one that this member may seal names and keys under. */
  keyed<T>(limits: WaitOptions, task: (control: ControlState) => Promise<T>): Promise<T> {
    return this.#options.whenCurrent(limits, true, task)
  }

  /**
   * Appends a control entry, made anew for each attempt on the log as it is then, and held against the rules before it
   * goes out.
   * @returns its place in the log
   * @throws SealogError what everybody would refuse it for; what ends sync
   */
  async append(make: (writing: Writing, control: ControlState) => ControlBody): Promise<number> {
    const { sync, environment, space } = this.#options
    const index = await sync.control(async (): Promise<PreparedControl> => {
      const { control } = this
      if (control === undefined) throw new SealogError('ERR_UNEXPECTED', 'no log yet')
      const { random } = environment
      const writing = {
        space: idBytes(space),
        time: environment.now(),
        random,
        epoch: latestEpoch(control),
        keys: sync.keys,
      }
      const body = make(writing, control)
      assertAllowed(control, sync, body)
      return { body: encodeControlBody(body) }
    })
    if (index === undefined) throw new SealogError('ERR_UNEXPECTED', 'the entry was not made')
    return index
  }

  /**
   * Where the own entry gave reason to start an epoch, does so before anything else is said. Whatever comes between, the
   * reason stays on record, and clients see to it.
   */
  async settleRotation(): Promise<void> {
    const { sync } = this
    const isDue = (): boolean => {
      const { control } = this
      if (control === undefined || control.rotation === 'settled' || sync.device === undefined) return false
      return canRotate(control, sync.device, sync.keys, sync.view.range.size)
    }
    if (!isDue()) return
    await sync.control(async () => (isDue() ? sync.rotation() : undefined), false).catch(() => undefined)
  }
}

/** @throws SealogError what everybody would refuse it for */
function assertAllowed(control: ControlState, sync: SpaceSync, body: ControlBody): void {
  const author = sync.device === undefined ? undefined : control.devices.get(sync.device)
  if (author === undefined) throw new SealogError('ERR_UNAUTHORIZED', 'this device is no member of the space')
  const header = {
    version: 1 as const,
    space: control.space,
    document: CONTROL_DOCUMENT,
    device: author.number,
    incarnation: new Uint8Array(8),
    seq: 0,
    prev: ZERO_32,
    seenSize: 0,
    seenRoot: ZERO_32,
    epoch: latestEpoch(control),
    kind: 'control' as const,
    tag: ZERO_32,
    bodyHash: ZERO_32,
    bodyLength: 0,
  }
  const index = sync.view.range.size
  applyControl(control, author, body, { header, hash: ZERO_32, index, seenRoot: ZERO_32, controlBody: undefined })
}
