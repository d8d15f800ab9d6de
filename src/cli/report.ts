import { toHex } from '../bytes.ts'
import { originOf } from '../verify/checkpoint.ts'
import { encodeVerifierKey } from '../verify/note-key.ts'
import type { Outcome, Verdict } from '../verify/verdict.ts'

/** What a command has to say: for people line by line, for programs as one object. */
export interface Report {
  readonly verdict: Outcome
  /** What was judged. */
  readonly subject: string
  /** What is said of it, by name. */
  readonly facts: Facts
  /** What was checked, in order, a sentence each; the last one decided. */
  readonly steps: readonly string[]
  /** What the verdict means, in words. */
  readonly meaning: string
}

export type Facts = Readonly<Record<string, string | number>>

/** 0: holds, 1: refuted, 2: cannot be judged. */
export function statusOf(verdict: Outcome): number {
  return { holds: 0, refuted: 1, unusable: 2 }[verdict]
}

/** Whom evidence is about, so that the key can be compared with one from elsewhere. */
export function accusedFacts({ relay, space }: Pick<Verdict, 'relay' | 'space'>): Facts {
  if (relay === undefined || space === undefined) return {}
  try {
    return identityFacts(originOf(relay.name, space), relay.key)
  } catch (error) {
    // A name that no checkpoint can carry: the judge found nothing signed under it.
    if (error instanceof TypeError) return { relay: relay.name, space }
    throw error
  }
}

function identityFacts(origin: string, key: Uint8Array): Facts {
  return { origin, 'relay key': toHex(key), 'verifier key': encodeVerifierKey(origin, key) }
}

/** A line for each fact and each step, then the verdict. */
export function renderReport({ verdict, subject, facts, steps, meaning }: Report): string {
  const lines = [
    subject,
    ...renderFacts(facts),
    ...steps.map((step, at) => `  ${at < steps.length - 1 || verdict === 'holds' ? '✓' : '✗'} ${step}`),
    `${verdict}: ${meaning}`,
  ]
  return renderLines(lines)
}

export function renderLines(lines: readonly string[]): string {
  return lines.map(line => `${printable(line)}\n`).join('')
}

export function renderFacts(facts: Facts): readonly string[] {
  return Object.entries(facts).map(([name, value]) => `  ${name}: ${value}`)
}

/** Names in the files of strangers must not move the cursor, colour the verdict or turn the line around. */
export function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, char => `\\u{${char.codePointAt(0)?.toString(16)}}`)
}
