import type { SignatureVerifier } from '../crypto/sign.ts'
import { SealogError } from '../errors.ts'
import type { RequiredCheck } from './log.ts'

/**
 * Awaits all signature checks of a batch together.
 * @throws SealogError with the code of the first check that failed
 */
export async function assertChecks(verifier: SignatureVerifier, checks: readonly RequiredCheck[]): Promise<void> {
  const verdicts = await verifier.verifyAll(checks)
  const failed = checks.find((_, i) => verdicts[i] !== true)
  if (failed !== undefined) throw new SealogError(failed.code, `signature of ${failed.what} does not verify`)
}
