import { MAX_ADMISSION_LENGTH } from './relay/message-limits.ts'

/** @throws TypeError for what is no token that a relay could be shown */
export function assertAdmission(token: unknown, argument: string): void {
  const isText = typeof token === 'string' && token !== '' && !/\p{Surrogate}/u.test(token)
  if (isText && new TextEncoder().encode(token).length <= MAX_ADMISSION_LENGTH) return
  throw new TypeError(`${argument}: expected a text of 1 to ${MAX_ADMISSION_LENGTH} bytes`)
}
