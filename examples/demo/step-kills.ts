import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ReplicaEvent } from './commands.ts'
import { EditJournal } from './journal.ts'
import type { ReplicaHandle } from './replica-handle.ts'
import { JOURNAL_NAME, type Stage } from './stage.ts'
import { sameHeads } from './step-write.ts'

type Victim = 'relay' | 'replica'

/** Who is killed, round by round; in the last one both at once. */
const ROUNDS: readonly (readonly Victim[])[] = [['relay'], ['replica'], ['relay'], ['replica'], ['relay', 'replica']]
/** Durable edits that a round sees before somebody dies. */
const EDITS_PER_ROUND = 50
/** How long the dead stay dead while the others write on, in milliseconds. */
const DOWNTIME = 150
/** Longest wait for a moment with work in flight, in milliseconds. */
const PATIENCE = 60_000

export interface Survived {
  readonly document: string
  readonly relayKills: number
  readonly replicaKills: number
  /** Durable changes that no relay had acknowledged, summed over the moments of the kills. */
  readonly inFlightAtKill: number
  /** Edits that a replica had reported as durable. */
  readonly journalled: number
  /** Of these: how many A, B or a device that joined afterwards does not have. */
  readonly lost: number
  /** Edits that one of them has more than once. */
  readonly duplicated: number
  /** All three have the same document. */
  readonly isSame: boolean
}

interface InFlight {
  /** Durable changes that are not proven. */
  readonly pending: number
  /** Entries that were sent and did not come back. */
  readonly sent: number
}

/** 3. A and B write while the relay and B are killed in the middle of it; a journal outside says what must be there. */
export async function surviveKills(stage: Stage, space: string): Promise<Survived> {
  const { a, b, folder } = stage
  const journal = new EditJournal(join(folder, 'journal.txt'))
  const document = await a.ask.createJournal(JOURNAL_NAME)
  await a.ask.sync()
  await b.ask.sync()
  const work = watch(journal, { a, b })
  let inFlightAtKill = 0
  await a.ask.keepJournal(document, 'a')
  await b.ask.keepJournal(document, 'b0')
  for (const [round, victims] of ROUNDS.entries()) {
    const next = journal.size + EDITS_PER_ROUND
    await work.until(() => journal.size >= next && victims.every(victim => work.sent(victim) > 0))
    inFlightAtKill += Math.max(...victims.map(victim => work.pending(victim)))
    await Promise.all(victims.map(victim => (victim === 'relay' ? stage.relay.kill() : b.kill())))
    if (victims.includes('replica')) work.forgetB()
    await delay(DOWNTIME)
    await Promise.all(victims.map(victim => (victim === 'relay' ? stage.relay.start() : restart(b, space))))
    if (victims.includes('replica')) await b.ask.keepJournal(document, `b${round + 1}`)
  }
  const last = journal.size + EDITS_PER_ROUND
  await work.until(() => journal.size >= last)
  await Promise.all([a.ask.stopJournal(), b.ask.stopJournal()])
  work.stop()
  for (const replica of [a, b, a]) await replica.ask.sync()
  const c = await stage.startReplica('c')
  await c.ask.join(await a.ask.invite())
  await c.ask.sync()
  const survived = await compareAll(document, journal, [a, b, c])
  journal.close()
  await c.stop()
  return { document, relayKills: count('relay'), replicaKills: count('replica'), inFlightAtKill, ...survived }
}

function count(victim: Victim): number {
  return ROUNDS.filter(victims => victims.includes(victim)).length
}

async function restart(replica: ReplicaHandle, space: string): Promise<void> {
  await replica.start()
  await replica.ask.enter(space)
}

interface Watch {
  until(holds: () => boolean): Promise<void>
  pending(victim: Victim): number
  sent(victim: Victim): number
  /** B is dead: what it said last is no longer so. */
  forgetB(): void
  stop(): void
}

/** Keeps the journal, and knows at every moment what is on its way. */
function watch(journal: EditJournal, replicas: { readonly a: ReplicaHandle; readonly b: ReplicaHandle }): Watch {
  const nothing: InFlight = { pending: 0, sent: 0 }
  const inFlight = { a: nothing, b: nothing }
  let check = (): void => {}
  const listen = (key: 'a' | 'b'): (() => void) =>
    replicas[key].listen((event: ReplicaEvent) => {
      if (event.type === 'saved') journal.record(event.id)
      if (event.type === 'status') inFlight[key] = { pending: event.local.pending, sent: event.local.sequenced }
      check()
    })
  const unsubscribe = [listen('a'), listen('b')]
  const sum =
    (field: keyof InFlight) =>
    (victim: Victim): number =>
      inFlight.b[field] + (victim === 'relay' ? inFlight.a[field] : 0)
  return {
    pending: sum('pending'),
    sent: sum('sent'),
    forgetB: () => {
      inFlight.b = nothing
    },
    until: holds =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('no moment came with enough work in flight')), PATIENCE)
        check = () => {
          if (!holds()) return
          clearTimeout(timer)
          check = () => {}
          resolve()
        }
        check()
      }),
    stop: () => {
      for (const end of unsubscribe) end()
    },
  }
}

async function compareAll(
  document: string,
  journal: EditJournal,
  replicas: readonly ReplicaHandle[],
): Promise<Pick<Survived, 'journalled' | 'lost' | 'duplicated' | 'isSame'>> {
  const lost = new Set<string>()
  const duplicated = new Set<string>()
  const heads: (readonly string[])[] = []
  for (const { ask } of replicas) {
    const lines = (await ask.text(document)).split('\n').filter(line => line !== '')
    for (const held of [await ask.ids(document), lines]) {
      const verdict = journal.compare(held)
      for (const id of verdict.lost) lost.add(id)
      for (const id of verdict.duplicated) duplicated.add(id)
    }
    heads.push(await ask.heads(document))
  }
  const isSame = heads.every(held => sameHeads(held, heads[0] ?? []))
  return { journalled: journal.size, lost: lost.size, duplicated: duplicated.size, isSame }
}
