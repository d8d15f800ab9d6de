import type { ErrorCode } from '../errors.ts'
import type { ActorId, DocumentId } from '../ids.ts'

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

  list(): readonly Problem[] {
    return [...this.#byCause.values()]
  }

  /** @param cause what `clear` takes back */
  add(cause: string, problem: Omit<Problem, 'count'>): Problem {
    const before = this.#byCause.get(cause)
    const again = before !== undefined && before.code === problem.code
    const next = again ? { ...problem, since: before.since, count: before.count + 1 } : { ...problem, count: 1 }
    this.#byCause.set(cause, next)
    return next
  }

  clear(cause: string): void {
    this.#byCause.delete(cause)
  }
}
