import type { ErrorCode } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'
import type { Stopped } from './document-meta.ts'

/** Something that a person should know about: shown in `status` and `problems` for as long as it lasts. */
export interface Problem {
  readonly code: ErrorCode
  /** For people; without keys or content. */
  readonly message: string
  /** Unix time in milliseconds of the first occurrence. */
  readonly since: number
  /** How often it occurred. */
  readonly count: number
  readonly document?: DocumentId
  readonly actor?: ActorId
  /** Entry of the log. */
  readonly index?: number
}

/** What is wrong at the moment, by cause. */
export class Problems {
  readonly #byCause = new Map<string, Problem>()
  readonly #onProblem: (problem: Problem) => void

  constructor(onProblem: (problem: Problem) => void) {
    this.#onProblem = onProblem
  }

  list(): readonly Problem[] {
    return [...this.#byCause.values()]
  }

  /** @param cause what `clear` takes back */
  add(cause: string, problem: Omit<Problem, 'count'>): void {
    const before = this.#byCause.get(cause)
    const again = before !== undefined && before.code === problem.code
    const next = again ? { ...problem, since: before.since, count: before.count + 1 } : { ...problem, count: 1 }
    this.#byCause.set(cause, next)
    this.#onProblem(next)
  }

  clear(cause: string): void {
    this.#byCause.delete(cause)
  }
}

/** Nothing more of an actor is applied; lasts. */
export function addStopped(
  problems: Problems,
  document: DocumentId,
  actor: ActorId,
  stopped: Stopped,
  since: number,
): void {
  problems.add(`actor/${actor}`, {
    code: stopped.code as ErrorCode,
    message: `entry ${stopped.index} is ${stopped.reason}: nothing of its author's chain is applied from there on`,
    since,
    document,
    actor,
    index: stopped.index,
  })
}

/** The actor goes on. */
export function clearStopped(problems: Problems, actor: ActorId): void {
  problems.clear(`actor/${actor}`)
}
