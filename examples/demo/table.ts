import { basename } from 'node:path'
import type { Findings } from './report.ts'

interface Row {
  readonly title: string
  readonly lines: readonly string[]
}

const PLAIN = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })

/** The findings for people: what happened on the left, what came of it on the right. */
export function drawTable(findings: Findings): string {
  const rows = rowsOf(findings)
  const left = Math.max(...rows.map(row => row.title.length))
  const right = Math.max(...rows.flatMap(row => row.lines.map(line => line.length)))
  const bar = (start: string, cross: string, end: string): string =>
    `${start}${'─'.repeat(left + 2)}${cross}${'─'.repeat(right + 2)}${end}`
  const body = rows.map(({ title, lines }) =>
    lines.map((line, i) => `│ ${(i === 0 ? title : '').padEnd(left)} │ ${line.padEnd(right)} │`).join('\n'),
  )
  return [bar('┌', '┬', '┐'), body.join(`\n${bar('├', '┼', '┤')}\n`), bar('└', '┴', '┘')].join('\n')
}

function rowsOf({
  histories,
  typed,
  together,
  survived,
  searched,
  resisted,
  entries,
  seconds,
}: Findings): readonly Row[] {
  const perSecond = typed.edits / typed.catchUpSeconds
  return [
    {
      title: 'Typed while B was away',
      lines: [
        `${number(typed.edits)} edits (${sourceName(histories.one.source)}) became ${number(typed.entries)} entries`,
        `${number(typed.wireBytes / typed.edits)} bytes an edit on the wire, up and down, proofs and framing included`,
      ],
    },
    {
      title: 'B came back',
      lines: [
        `verified, decrypted and applied in ${number(typed.catchUpSeconds)} s: ${whole(perSecond)} edits/s, ` +
          `${whole(typed.entries / typed.catchUpSeconds)} entries/s`,
        outcome(typed.isRight, 'its text is that of a plain replay of the same edits', 'ITS TEXT IS WRONG'),
      ],
    },
    {
      title: 'Both typed at once',
      lines: [
        `${number(together.edits)} edits (${histories.two.source}) in ${number(together.seconds)} s`,
        outcome(together.isSame, 'A and B have the same document', 'A AND B DIFFER'),
        outcome(together.isRight, 'plain Automerge merges it to the same', 'PLAIN AUTOMERGE SAYS OTHERWISE'),
      ],
    },
    {
      title: 'Killed in the middle of it',
      lines: [
        `the relay ${survived.relayKills} times, B ${survived.replicaKills} times, ` +
          `${number(survived.inFlightAtKill)} changes in flight`,
        `${number(survived.journalled)} edits in the journal: ${number(survived.lost)} lost, ` +
          `${number(survived.duplicated)} twice, on A, B and newcomer C`,
      ],
    },
    {
      title: 'What the relay could read',
      lines: [
        `${number(searched.canaries)} phrases and names sought in ${number(searched.bytes / 1e6)} MB of database, logs, wire`,
        `${number(searched.hits.length)} hits; ${number(searched.controlHits)} in a plain save of the same notes`,
      ],
    },
    {
      title: 'Lies told to B',
      lines: [
        ...attackLines(namedLies(resisted.detected)),
        outcome(resisted.touched.length === 0, "nothing of it reached B's store, byte for byte", "B'S STORE CHANGED"),
      ],
    },
    { title: 'In all', lines: [`${number(entries)} entries in the log, ${number(seconds)} s`] },
  ]
}

const ATTACK_NAMES = {
  bitFlip: 'a bit of a header',
  bitFlipBody: 'a bit of a body',
  bitFlipSignature: 'a bit of a signature',
  swap: 'two entries swapped',
  drop: 'an entry dropped',
  rollback: 'an old checkpoint',
} as const

function namedLies(detected: Findings['resisted']['detected']): readonly (readonly [string, string])[] {
  const names = Object.keys(ATTACK_NAMES) as (keyof typeof ATTACK_NAMES)[]
  return names.map(attack => [ATTACK_NAMES[attack], detected[attack] ?? 'NOT NOTICED'])
}

function attackLines(found: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...found.map(([name]) => name.length))
  return found.map(([name, code]) => `${name.padEnd(width)}  ${code}`)
}

function outcome(holds: boolean, right: string, wrong: string): string {
  return holds ? right : wrong
}

function sourceName(source: string): string {
  return source.includes('/') ? basename(source) : source
}

function number(value: number): string {
  return PLAIN.format(value)
}

function whole(value: number): string {
  return PLAIN.format(Math.round(value))
}
