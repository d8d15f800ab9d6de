import { SealogError } from 'sealog/protocol'

/** Who gives back: one connection, told apart by identity. */
export interface Restorer {
  /** Of `addressKey`. */
  readonly address: string | undefined
}

/** What one restorer has brought by now. Times are Unix milliseconds. */
export interface Place {
  readonly by: Restorer
  readonly begun: number
  /** Of the latest part. */
  readonly time: number
  /** In bytes. */
  readonly length: number
}

/** Restorers of one space at once. */
const MAX_PLACES = 4
/** Another one is let in beside those there are when the latest has had so many milliseconds: mostly one is enough. */
const PATIENCE = 10_000
/** Whoever brings less than so many bytes a second, once the patience is over, makes way. */
const LEAST_RATE: number = 32 * 1024
/** As does one of whom nothing came for so many milliseconds, however much it was before. */
const STALE_AFTER = 60_000
/** Nor does one keep others out for longer than so many milliseconds, however it goes on. */
const LONGEST_TURN = 15 * 60_000
/** Milliseconds after which somebody who finds no place may try again. */
const RETRY_AFTER = 5000

/**
 * Whether there is a place for another one who would give back a space, and who has to make way for it. Nobody knows
 * before the end who brings what was lost and who only holds a place: so whoever is at it never keeps others out by that
 * alone. They get places beside it, one by one; an address has one of them; and when all are taken, one who brings little
 * loses its own.
 * @param places those that are taken, of other connections
 * @returns who makes way; undefined where there is room
 * @throws SealogError ERR_RATE_LIMITED
 */
export function placeFor<P extends Place>(places: readonly P[], by: Restorer, now: number): P | undefined {
  const ofAddress = places.filter(place => by.address !== undefined && place.by.address === by.address)
  if (ofAddress.length === 0 && places.length < MAX_PLACES) {
    const latest = Math.max(...places.map(({ begun }) => begun))
    if (now < latest + PATIENCE) throw taken(Math.min(RETRY_AFTER, latest + PATIENCE - now))
    return undefined
  }
  const rivals = ofAddress.length > 0 ? ofAddress : places
  const [slowest] = rivals.filter(place => isOver(place, now)).sort((a, b) => rateOf(a, now) - rateOf(b, now))
  if (slowest === undefined) throw taken(RETRY_AFTER)
  return slowest
}

function isOver(place: Place, now: number): boolean {
  const age = now - place.begun
  const isSlow = age >= PATIENCE && rateOf(place, now) < LEAST_RATE
  return isSlow || age >= LONGEST_TURN || now - place.time >= STALE_AFTER
}

/** In bytes a second. */
function rateOf({ begun, length }: Place, now: number): number {
  return (length * 1000) / Math.max(1, now - begun)
}

function taken(retryAfter: number): SealogError {
  return new SealogError('ERR_RATE_LIMITED', 'somebody else is restoring this space', { details: { retryAfter } })
}
