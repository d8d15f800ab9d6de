import { type Environment, SealogError, type SpaceId, toHex } from 'sealog/protocol'
import { BucketTable } from './bucket-table.ts'
import { addressKey } from './client-address.ts'
import { type CreationCheck, type CreationPolicy, creationCheck } from './creation-policy.ts'
import type { CreationRequest } from './creation-webhook.ts'
import { HeldSpaces } from './held-spaces.ts'
import type { Limits } from './limits.ts'
import type { Log } from './log-record.ts'
import type { LogStore } from './log-store.ts'
import type { SocketRefusal } from './meter.ts'
import type { PushCost } from './push-cost.ts'
import { RequestLoad } from './request-load.ts'
import { SocketGate, type SocketPass } from './socket-gate.ts'
import { SpaceCount } from './space-count.ts'
import { SpaceLoads } from './space-loads.ts'
import { hourlyRate, rateOf } from './token-bucket.ts'
import { assertNoWait, type PushPass, WriteQuota, type Writer } from './write-quota.ts'

/** What a request costs at least that reads what is not new, in bytes. */
const READ_COST = 4096
/** Milliseconds after which to try again where a relay has no room for another space. */
const FULL_RETRY = 60_000

export interface GateOptions {
  /** Of the relay. */
  readonly name: string
  readonly limits: Limits
  readonly environment: Environment
  readonly log: Log
  /** Counted where the number of spaces is limited. */
  readonly store: Pick<LogStore, 'readSpaces'>
  /** Who may create spaces. Default: everybody. */
  readonly creation?: CreationPolicy | undefined
}

/** Something that was let in and may come to nothing. */
export interface Attempt {
  /** It did not: it counts no more. */
  succeeded(): void
}

/** A space that may be created. */
export interface Creation {
  /** It was not: it counts no more. */
  failed(): void
}

/** A read that was paid for before it began. */
export interface Charge {
  /** It cost so many bytes: what was taken beyond that is given back, what is missing is taken. */
  settle(bytes: number): void
}

/**
 * Who comes in, and how fast they may go: all quotas of one relay in this process, and who may create spaces. Refusals
 * are ERR_RATE_LIMITED with `retryAfter` for what passes with time, and ERR_QUOTA for what does not.
 */
export class Gate {
  /** Requests under way on all sockets. */
  readonly load: RequestLoad
  /** Spaces that are brought into memory. */
  readonly loads: SpaceLoads
  readonly #limits: Limits
  readonly #sockets: SocketGate
  readonly #writes: WriteQuota
  readonly #reads: BucketTable
  readonly #failures: BucketTable
  readonly #creations: BucketTable
  readonly #mailboxes: BucketTable
  readonly #heldBySocket: HeldSpaces
  readonly #heldByAddress: HeldSpaces
  readonly #check: CreationCheck
  readonly #count: SpaceCount

  /** @throws TypeError for a policy that cannot work */
  constructor({ name, limits, environment, log, store, creation = { kind: 'open' } }: GateOptions) {
    const now = (): number => environment.now()
    const { burstTime } = limits
    this.#limits = limits
    this.load = new RequestLoad(limits.requestBytes)
    this.loads = new SpaceLoads(limits, now)
    this.#sockets = new SocketGate(limits)
    this.#writes = new WriteQuota(limits, now)
    this.#reads = new BucketTable(rateOf(limits.readBytesPerDevice, burstTime), now)
    this.#failures = new BucketTable(rateOf(limits.failuresPerAddress, burstTime), now)
    this.#creations = new BucketTable(hourlyRate(limits.spacesPerAddress), now)
    this.#mailboxes = new BucketTable(hourlyRate(limits.mailboxWrites), now)
    this.#heldBySocket = new HeldSpaces(limits.openBytesPerSocket, 'connection')
    this.#heldByAddress = new HeldSpaces(limits.openBytesPerAddress, 'address')
    this.#check = creationCheck(creation, { relay: name, environment, log })
    this.#count = new SpaceCount(store, now)
  }

  /** Why another socket may not be opened, before anything is done for it. @param address of the client, as text */
  admitSocket(address: string | undefined): SocketRefusal | undefined {
    return this.#sockets.refusal(addressKey(address))
  }

  /** A socket that was opened. @param end ends it where it has to make way */
  enter(address: string | undefined, end: () => void): SocketPass {
    return this.#sockets.enter(addressKey(address), end)
  }

  /**
   * Something that costs the relay a look into its store, for somebody whom it may not know: it counts unless it
   * succeeds. @throws SealogError ERR_RATE_LIMITED
   */
  attempt(address: string | undefined): Attempt {
    const key = addressKey(address)
    assertNoWait(this.#failures.wait(key), 'that comes to nothing')
    this.#failures.take(key, 1)
    return { succeeded: () => this.#failures.giveBack(key, 1) }
  }

  /**
   * A space is kept open for a client, and so in memory.
   * @param socket identity only @param weight of the space, in bytes, whenever it is asked for
   * @returns to be called when it is not kept open any more; once is enough @throws SealogError ERR_LIMIT
   */
  hold(socket: object, address: string | undefined, space: SpaceId, weight: () => number): () => void {
    const leaveSocket = this.#heldBySocket.hold(socket, space, weight)
    try {
      const leaveAddress = this.#heldByAddress.hold(addressKey(address), space, weight)
      return () => {
        leaveSocket()
        leaveAddress()
      }
    } catch (error) {
      leaveSocket()
      throw error
    }
  }

  /**
   * May this space be created?
   * @throws SealogError ERR_UNAUTHORIZED, ERR_QUOTA, ERR_RATE_LIMITED; what the store throws
   */
  async create(request: CreationRequest): Promise<Creation> {
    const key = addressKey(request.address)
    assertNoWait(this.#creations.wait(key), 'that is new')
    // Before anything is awaited: requests overlap.
    this.#creations.take(key, 1)
    let isCounted = false
    const failed = (): void => {
      this.#creations.giveBack(key, 1)
      if (isCounted) this.#count.giveBack()
    }
    try {
      isCounted = await this.#takeRoom()
      await this.#check(request)
    } catch (error) {
      failed()
      throw error
    }
    return { failed }
  }

  /** @returns whether it counts */
  async #takeRoom(): Promise<boolean> {
    const { spaces } = this.#limits
    if (spaces === 0) return false
    if (await this.#count.take(spaces)) return true
    const details = { limit: spaces, retryAfter: FULL_RETRY }
    throw new SealogError('ERR_QUOTA', 'the relay takes no more spaces', { details })
  }

  /**
   * May a device push this? @param stored bytes of the space in the store
   * @throws SealogError ERR_QUOTA, ERR_RATE_LIMITED
   */
  push(writer: Writer, cost: PushCost, stored: number): PushPass {
    return this.#writes.admit({ ...writer, address: addressKey(writer.address) }, cost, stored)
  }

  /**
   * May a device read what is not new?
   * @param cost what that takes at least, in bytes @throws SealogError ERR_RATE_LIMITED
   */
  read(space: SpaceId, device: number, cost: number = READ_COST): void {
    const key = readerOf(space, device)
    assertNoWait(this.#reads.wait(key), 'read')
    this.#reads.take(key, cost)
  }

  /**
   * The same where the answer takes a while to make: all that it may cost is taken before the work begins, or a device
   * that asks often enough at once would have had it all before it paid for any.
   * @param cost in bytes; what does not come to an end costs it all @throws SealogError ERR_RATE_LIMITED
   */
  charge(space: SpaceId, device: number, cost: number): Charge {
    const key = readerOf(space, device)
    assertNoWait(this.#reads.wait(key), 'read')
    const taken = this.#reads.take(key, Math.max(READ_COST, cost))
    return {
      settle: bytes => {
        const due = Math.max(READ_COST, bytes)
        if (due < taken) this.#reads.giveBack(key, taken - due)
        else this.#reads.take(key, due - taken)
      },
    }
  }

  /** What a device was sent, or what had to be read for that; beyond its rate the next `read` is refused. */
  sent(space: SpaceId, device: number, bytes: number): void {
    this.#reads.take(readerOf(space, device), bytes)
  }

  /** May this mailbox be written? @param address its key, 32 bytes @throws SealogError ERR_RATE_LIMITED */
  writeMailbox(address: Uint8Array): void {
    const key = toHex(address)
    assertNoWait(this.#mailboxes.wait(key), 'into one mailbox')
    this.#mailboxes.take(key, 1)
  }
}

function readerOf(space: SpaceId, device: number): string {
  return `${space}/${device}`
}
