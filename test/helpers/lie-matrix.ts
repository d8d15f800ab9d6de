import { LIES, type Lie, MOMENTS, type Moment } from 'sealog-relay/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { expectConvicted } from './convicted.ts'
import {
  bodies,
  isFrozen,
  type LyingWorld,
  openLyingWorld,
  type Party,
  partyOf,
  REPLICATION,
  type Replication,
  settleAll,
  stateOf,
  within,
  write,
} from './lies.ts'

/** What has to happen before a relay can tell some of its lies. */
type Occasion = 'writing' | 'inviting' | 'crossing' | 'greeting' | 'elsewhere'

const OCCASIONS: readonly (readonly [RegExp, Occasion])[] = [
  [/^(uncovered-control-entry|invented-invite)$/, 'inviting'],
  [/^(?!unneeded).*-seen-proof|^seen-proof/, 'crossing'],
  [/-welcome-version$/, 'greeting'],
  // Told in tests of their own: they need a long body, a join, or two branches of the log.
  [/-body-part(-offset)?$|^withhold-body$|^fabricated-log$|-of-another-branch$/, 'elsewhere'],
  [/-tracer$/, 'elsewhere'],
  [/^(skip|document|chain|keys|admits)-/, 'elsewhere'],
]

function occasionOf({ name, expected }: Lie): Occasion {
  if (expected.length === 0) return 'elsewhere'
  return OCCASIONS.find(([pattern]) => pattern.test(name))?.[1] ?? 'writing'
}

/** A lie, and a moment to tell it. */
type Case = readonly [name: string, moment: Moment, lie: Lie]

/** Of so many lies that are refused before the state is looked at, one is told to sparse replicas. */
const SAMPLE = 6

function casesOf(lies: readonly Lie[], replicate: Replication): readonly Case[] {
  return lies.flatMap((lie, number): readonly Case[] => {
    const occasion = occasionOf(lie)
    if (occasion === 'elsewhere') return []
    // An author has seen all that the log it pushes to has, and a greeting comes before everything.
    const isEarly = occasion === 'crossing' || occasion === 'greeting'
    const moments: readonly Moment[] = isEarly ? ['catch-up'] : MOMENTS
    const all = moments.map(moment => [lie.name, moment, lie] as const)
    // What freezes a replica takes a new world each time: each of the moments is on one of the two kinds of replica.
    const isElsewhere = (_: Case, i: number): boolean => i !== number % all.length
    if (replicate === 'all') return lie.freezes && all.length > 1 ? all.filter(isElsewhere) : all
    if (/^(flip-|2\^)/.test(lie.name) && number % SAMPLE > 0) return []
    // Each of the moments for a third of the lies.
    const one = all[number % all.length]
    return one === undefined ? [] : [one]
  })
}

let round = 0

/** Lets the relay have something to say to Bob, at this moment. @param begin from here on it lies */
async function occasion(opened: LyingWorld, lie: Lie, moment: Moment, begin: () => Promise<void>): Promise<void> {
  const { ann, bob, relay, world } = opened
  const limits = within(opened)
  const word = `${round++} `
  const kind = occasionOf(lie)
  const act = async (party: Party): Promise<void> => {
    write(party, word)
    for (const note of party.notes) await note.saved()
  }
  if (kind === 'greeting') {
    await begin()
    relay.cut()
    return
  }
  if (kind === 'crossing') {
    // What Ann writes has not seen what Bob wrote before it.
    relay.lie('withheld-tail', { to: await partyOf(ann) })
    await act(bob)
    await bob.space.sync(limits)
    bob.space.pause()
    const size = await world.logSize(ann.space.id)
    await act(ann)
    await expect.poll(() => world.logSize(ann.space.id), { interval: 2, timeout: 5000 }).toBeGreaterThan(size)
    relay.honest()
    relay.cut()
    await ann.space.sync(limits)
    await begin()
    bob.space.resume()
    return
  }
  if (kind === 'inviting') {
    const author = moment === 'acknowledgement' ? bob : ann
    if (moment === 'catch-up') bob.space.pause()
    else await begin()
    const invited = author.space.invite(limits)
    // Where it is Bob's own, it is acknowledged only when the relay is honest again.
    if (moment === 'acknowledgement') invited.catch(() => {})
    else await invited
    if (moment === 'catch-up') {
      await begin()
      bob.space.resume()
    }
    return
  }
  if (moment === 'catch-up') {
    bob.space.pause()
    await act(ann)
    await ann.space.sync(limits)
    await begin()
    bob.space.resume()
  } else if (moment === 'live') {
    await begin()
    await act(ann)
    await ann.space.sync(limits)
  } else {
    await act(bob)
    await begin()
  }
}

/** Tells each lie at each moment to one of two replicas, and then the truth. */
export function describeLies(title: string, isMeant: (lie: Lie) => boolean): void {
  describe.each(REPLICATION)(`${title}, told to a replica of %s`, replicate => {
    let opened: LyingWorld
    /** A test that failed, or a replica that froze, is not the next one's business. */
    let isSpoiled = false

    beforeAll(async () => {
      opened = await openLyingWorld(replicate)
    })

    afterAll(async () => {
      await opened.close()
    })

    it.each(casesOf(LIES.filter(isMeant), replicate))(
      '%s, in %s: is refused, and nothing of it is kept (R-ADVANCE-1)',
      async (name, moment, lie) => {
        if (isSpoiled) {
          await opened.close()
          opened = await openLyingWorld(replicate)
        }
        isSpoiled = true
        const { ann, bob, relay } = opened
        let told = 0
        const to = await partyOf(bob)
        let before: object = {}
        const problems: string[] = []
        const stop = bob.space.on('problem', ({ problem }) => void problems.push(problem.code))
        await occasion(opened, lie, moment, async () => {
          before = await stateOf(bob)
          told = relay.told.length
          // A greeting is for whoever connects.
          relay.lie(name, occasionOf(lie) === 'greeting' ? {} : { to })
        })
        const isAnswered = (): boolean => problems.length > 1 || isFrozen(bob.space)
        await expect.poll(isAnswered, { interval: 2, timeout: 5000 }).toBe(true)
        stop()

        expect(relay.told[told]).toMatchObject({ lie: name })
        if (relay.told[told]?.moment !== undefined) expect(relay.told[told]?.moment).toBe(moment)
        // What the relay signed may end sync for good; what anybody could have made up never does.
        expect(isFrozen(bob.space)).toBe(lie.freezes)
        if (lie.freezes) {
          expect(problems).toEqual(['ERR_FROZEN'])
          expect(await stateOf(bob)).toEqual(before)
          await expectConvicted(opened, bob)
          return
        }
        // An entry whose acknowledgement was the lie has landed: sent again, it may be told that it is late.
        const late = moment === 'acknowledgement' ? ['ERR_STALE_CHAIN'] : []
        for (const code of problems) expect([...lie.expected, ...late]).toContain(code)
        expect(await stateOf(bob)).toEqual(before)

        // Work goes on while the relay lies, and once it no longer does, nothing is lost.
        write(bob, 'meanwhile ')
        for (const note of bob.notes) await note.saved()
        expect(bodies(bob).every(body => body.startsWith('meanwhile '))).toBe(true)
        relay.honest()
        await settleAll(opened)
        expect(bob.space.problems).toEqual([])
        expect(bodies(ann)).toEqual(bodies(bob))
        expect(bodies(bob).every(body => body.includes('meanwhile '))).toBe(true)
        isSpoiled = false
      },
    )
  })
}
