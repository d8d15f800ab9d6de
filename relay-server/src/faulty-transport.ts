import {
  type Connection,
  type ConnectionEvents,
  decodeRelayMessage,
  type Environment,
  SealogError,
  type Transport,
} from 'sealog/protocol'
import { FaultyLane, FRAME_FAULTS, type FrameFault } from './faulty-lane.ts'
import { type SeededRandom, seededRandom } from './seeded-random.ts'

/**
 * What a network may do to those who use it in good faith; nothing here changes a frame.
 *
 * - `refuse`: an attempt to connect fails;
 * - `cut`: a frame is lost, and the connection with it (a stream that has lost a part cannot go on);
 * - `chop`: the connection breaks because it has lived long enough, see `maxFrames`;
 * - `delay`: a frame, and all behind it, comes later;
 * - `duplicate`: a frame comes twice;
 * - `reorder`: a frame is overtaken by the next one;
 * - `replay`: an old `sync`, of this or an earlier connection, comes again.
 */
export type Fault = 'refuse' | 'chop' | FrameFault

export interface FaultyTransportOptions {
  /** Everything that goes wrong follows from it, from the order of connections, and from the order of their frames. */
  readonly seed: number
  readonly environment: Pick<Environment, 'schedule'>
  /** Probability, 0 … 1: of `refuse` for each attempt to connect, else for each frame. Not named: 0. */
  readonly faults?: Partial<Record<Exclude<Fault, 'chop'>, number>>
  /** Longest delay of a frame, in milliseconds; default 20. */
  readonly maxDelay?: number
  /** Connections break at a frame from the first to this one, counted over both directions. Default: never. */
  readonly maxFrames?: number
}

/** Another transport, with faults. */
export interface FaultyTransport extends Transport {
  /** How often each fault happened. */
  readonly happened: Readonly<Record<Fault, number>>
  /** From now on nothing goes wrong any more. What is delayed is still on its way. */
  calm(): void
}

/** Old messages that may be replayed. */
const MAX_HISTORY = 32
const DEFAULT_MAX_DELAY = 20

/** @throws TypeError for a probability that is none, or a limit that is no positive number */
export function faultyTransport(inner: Transport, options: FaultyTransportOptions): FaultyTransport {
  const { seed, environment, faults = {}, maxDelay = DEFAULT_MAX_DELAY, maxFrames = Infinity } = options
  for (const [fault, chance] of Object.entries(faults)) assertChance(chance, `faults.${fault}`)
  assertPositive(maxDelay, 'maxDelay')
  assertPositive(maxFrames, 'maxFrames')
  const happened: Record<Fault, number> = { refuse: 0, chop: 0, ...countsOf(FRAME_FAULTS) }
  const history: Uint8Array[] = []
  let isCalm = false
  let connections = 0

  const chance = (fault: Exclude<Fault, 'chop'>): number => (isCalm ? 0 : (faults[fault] ?? 0))

  function remember(frame: Uint8Array): void {
    if (!isSync(frame)) return
    history.push(frame)
    if (history.length > MAX_HISTORY) history.shift()
  }

  function connect(url: string, events: ConnectionEvents): Connection {
    const number = connections++
    const random = seededRandom(seed, `${number}`)
    const isRefused = random.fraction() < chance('refuse')
    const lifetime = maxFrames === Infinity ? Infinity : 1 + random.below(maxFrames)
    let connection: Connection | undefined
    let isOver = false
    let frames = 0

    function end(): void {
      isOver = true
      toRelay.end()
      toReplica.end()
    }

    /** Both ends hear of it; the replica's not before the call that led here has returned. */
    function breakOff(): void {
      if (isOver) return
      end()
      connection?.close()
      environment.schedule(0, () => events.onClose(new SealogError('ERR_OFFLINE', 'the connection broke')))
    }

    function lane(direction: string, earlier: Earlier, deliver: (frame: Uint8Array) => void): FaultyLane {
      return new FaultyLane({
        random: seededRandom(seed, `${number}/${direction}`),
        schedule: environment.schedule,
        chance,
        maxDelay,
        earlier,
        deliver,
        cut: breakOff,
        onFault: fault => {
          happened[fault]++
        },
      })
    }

    function take(lane: FaultyLane, frame: Uint8Array): void {
      if (isOver) return
      if (++frames >= lifetime && !isCalm) {
        happened.chop++
        breakOff()
        return
      }
      lane.take(frame)
    }

    const toRelay = lane(
      'toRelay',
      () => undefined,
      frame => connection?.send(frame),
    )
    const toReplica = lane(
      'toReplica',
      random => history[random.below(history.length)],
      frame => events.onFrame(frame),
    )
    if (isRefused) {
      happened.refuse++
      breakOff()
      return { send: () => {}, close: () => {} }
    }
    connection = inner.connect(url, {
      onOpen: () => {
        if (!isOver) events.onOpen()
      },
      onFrame: frame => {
        if (isOver) return
        remember(frame)
        take(toReplica, frame)
      },
      onClose: cause => {
        if (isOver) return
        end()
        events.onClose(cause)
      },
    })
    return {
      send: frame => take(toRelay, frame),
      close: () => {
        if (isOver) return
        end()
        connection?.close()
        environment.schedule(0, () => events.onClose(undefined))
      },
    }
  }

  return {
    happened,
    connect,
    calm() {
      isCalm = true
    },
  }
}

type Earlier = (random: SeededRandom) => Uint8Array | undefined

function countsOf<T extends string>(names: readonly T[]): Record<T, number> {
  return Object.fromEntries(names.map(name => [name, 0])) as Record<T, number>
}

/** Only what is about a log is worth repeating; what is no message at all comes from somebody else. */
function isSync(frame: Uint8Array): boolean {
  try {
    return decodeRelayMessage(frame).type === 'sync'
  } catch {
    return false
  }
}

function assertChance(value: unknown, argument: string): void {
  if (typeof value !== 'number' || !(value >= 0 && value <= 1)) throw new TypeError(`${argument}: expected 0 to 1`)
}

function assertPositive(value: unknown, argument: string): void {
  if (typeof value !== 'number' || !(value > 0)) throw new TypeError(`${argument}: expected a positive number`)
}
