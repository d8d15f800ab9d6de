import { hasCode, SealogError, type SpaceId } from 'sealog/protocol'
import type { RelayContext } from './context.ts'
import { spacesOf } from './fsck.ts'
import { type Finding, findingLine, reasonOf } from './fsck-finding.ts'
import { checkSpace } from './fsck-space.ts'

export interface ScrubOptions {
  /** Entries that are checked in a second, over all spaces; at least 1. */
  readonly entriesPerSecond: number
  /** Milliseconds between one round over all spaces and the next. Default: a day. */
  readonly roundPause?: number
}

/** What of a relay the scrub needs. */
export interface ScrubbedRelay {
  readonly context: RelayContext
  /** Takes nothing more of this space, as what is stored of it cannot be relied on. */
  refuse(space: SpaceId, error: SealogError): Promise<void>
}

export interface Scrub {
  /** Resolves when nothing of it is under way. */
  stop(): Promise<void>
}

const DAY = 24 * 60 * 60 * 1000
/** Entries checked without a pause: the event loop is busy with them for some milliseconds. */
const GROUP_ENTRIES = 32
/** Findings of one space that are logged. */
const LOGGED_FINDINGS = 8

/**
 * Checks all spaces of a relay that serves, again and again, so slowly that it is not in the way. A space with findings
 * takes nothing more; what is wrong with it is for `fsck` to tell in full, and for the operator to mend.
 */
export function startScrub(relay: ScrubbedRelay, options: ScrubOptions): Scrub {
  const { entriesPerSecond, roundPause = DAY } = options
  if (!(entriesPerSecond >= 1)) throw new TypeError('options.entriesPerSecond: expected a number from 1 on')
  if (!(roundPause >= 0)) throw new TypeError('options.roundPause: expected milliseconds')
  const { context } = relay
  let isStopped = false
  let wake = (): void => {}

  /** @returns false where the scrub was stopped */
  function pause(ms: number): Promise<boolean> {
    if (isStopped) return Promise.resolve(false)
    return new Promise(resolve => {
      const cancel = context.environment.schedule(ms, () => resolve(!isStopped))
      wake = () => {
        cancel()
        resolve(false)
      }
    })
  }

  const pace = (entries: number): Promise<boolean> => pause((1000 * entries) / entriesPerSecond)

  async function round(): Promise<void> {
    for await (const space of spacesOf(context.store)) {
      if (isStopped) return
      await scrubSpace(relay, space, pace)
      // Spaces without entries take their time, too.
      if (!(await pace(1))) return
    }
  }

  async function run(): Promise<void> {
    do {
      try {
        await round()
      } catch (error) {
        context.log({ level: 'error', event: 'scrub-ended', reason: reasonOf(error) })
      }
    } while (await pause(roundPause))
  }

  const running = run()
  return {
    stop() {
      isStopped = true
      wake()
      return running
    },
  }
}

async function scrubSpace(
  relay: ScrubbedRelay,
  space: SpaceId,
  pace: (entries: number) => Promise<boolean>,
): Promise<void> {
  const { name, signingKey, store, verifier, log } = relay.context
  const findings: Finding[] = []
  const report = (finding: Finding): void => {
    findings.push(finding)
    if (findings.length > LOGGED_FINDINGS) return
    const { checked, entry, reason } = finding
    log({ level: 'error', event: 'scrub-failed', space, checked, entry, reason })
  }
  const check = {
    store,
    relay: { name, key: signingKey.publicKey },
    verifier,
    space,
    report,
    groupEntries: GROUP_ENTRIES,
  }
  try {
    const { isWhole, size } = await checkSpace({ ...check, pace })
    if (isWhole && findings.length === 0) log({ level: 'info', event: 'scrubbed', space, size })
  } catch (error) {
    // A store that cannot be reached says nothing about what it holds.
    if (!hasCode(error, 'ERR_STORE_CORRUPT')) throw error
    report({ checked: 'store', space, reason: reasonOf(error) })
  }
  const [first] = findings.filter(isDamage)
  if (first === undefined) return
  await relay.refuse(space, new SealogError('ERR_STORE_CORRUPT', findingLine(first)))
}

/**
 * Entries that were lost are known to be, and members give them back: the space must stay open for that. And until this
 * relay signs the next note, it may know of the time of the latest one only.
 */
function isDamage({ checked }: Finding): boolean {
  return checked !== 'behind' && checked !== 'latest'
}
