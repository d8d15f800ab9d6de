import type { Histories } from './histories.ts'
import type { Searched } from './step-blind.ts'
import type { Survived } from './step-kills.ts'
import type { Resisted } from './step-tamper.ts'
import type { Typed, TypedTogether } from './step-write.ts'

/** All that the steps found out. */
export interface Findings {
  readonly histories: Histories
  readonly typed: Typed
  readonly together: TypedTogether
  readonly survived: Survived
  readonly searched: Searched
  readonly resisted: Resisted
  /** In the whole log at the end. */
  readonly entries: number
  /** A and B have the same documents at the end, all of them. */
  readonly isSame: boolean
  readonly seconds: number
}

/** The findings as one flat object; the keys are stable. */
export function toJson({ typed, together, survived, searched, resisted, ...rest }: Findings): Record<string, unknown> {
  return {
    edits: typed.edits,
    entries: rest.entries,
    converged: rest.isSame && together.isSame && survived.isSame,
    contentMatches: typed.isRight && together.isRight,
    relayKills: survived.relayKills,
    replicaKills: survived.replicaKills,
    inFlightAtKill: survived.inFlightAtKill,
    journalled: survived.journalled,
    lostChanges: survived.lost,
    duplicatedChanges: survived.duplicated,
    plaintextHits: searched.hits.length,
    plaintextControlHits: searched.controlHits,
    wireBytesPerEdit: rounded(typed.wireBytes / typed.edits),
    entriesPerSecond: rounded(typed.entries / typed.catchUpSeconds),
    editsPerSecond: rounded(typed.edits / typed.catchUpSeconds),
    concurrentEdits: together.edits,
    detected: resisted.detected,
    source: rest.histories.one.source,
    seconds: rounded(rest.seconds),
  }
}

/** What the demonstration promises and does not hold, a sentence each. */
export function brokenPromises({
  typed,
  together,
  survived,
  searched,
  resisted,
  ...rest
}: Findings): readonly string[] {
  const promises: readonly (readonly [holds: boolean, sentence: string])[] = [
    [typed.wasAway, 'B had something of the text although it was offline.'],
    [typed.isRight, 'The text that A typed and B caught up with is not the one of a plain replay.'],
    [together.isSame, 'A and B do not have the same document after typing at the same time.'],
    [together.isRight, 'What A and B typed at the same time is not what plain Automerge makes of it.'],
    [survived.inFlightAtKill > 0, 'Nothing was in flight when processes were killed.'],
    [survived.lost === 0, `${survived.lost} edits that were reported as durable are lost.`],
    [survived.duplicated === 0, `${survived.duplicated} edits are there more than once.`],
    [survived.isSame, 'After the kills, A, B and C do not have the same document.'],
    [searched.controlHits > 0, 'The search for plaintext finds nothing even in a plain save.'],
    [searched.sawTheWire, 'The capture of the wire does not show what certainly passed.'],
    [searched.unseen.length === 0, `The search for plaintext would not see ${searched.unseen.join(', ')}.`],
    [searched.hits.length === 0, `Plaintext left the devices: ${searched.hits.slice(0, 5).join('; ')}.`],
    ...Object.entries(resisted.detected).map(
      ([attack, code]) => [code !== undefined, `Not noticed: ${attack}.`] as const,
    ),
    [resisted.touched.length === 0, `B's store was changed by ${resisted.touched.join(', ')}.`],
    [resisted.stuck.length === 0, `B did not get over ${resisted.stuck.join(', ')}.`],
    [rest.isSame, 'A and B do not have the same documents in the end.'],
  ]
  return promises.filter(([holds]) => !holds).map(([, sentence]) => sentence)
}

function rounded(value: number): number {
  return Math.round(value * 10) / 10
}
