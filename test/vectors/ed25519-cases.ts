import { fromHex } from '../../src/bytes.ts'
import type { SignatureCheck, SignatureVerifier } from '../../src/crypto/sign.ts'

/** The parts of Wycheproof's `eddsa_verify_schema_v1` that are used here. No imports of a platform: runs in pages too. */
export interface WycheproofEd25519 {
  readonly testGroups: readonly {
    readonly publicKey: { readonly pk: string }
    readonly tests: readonly {
      readonly tcId: number
      readonly comment: string
      readonly msg: string
      readonly sig: string
      readonly result: string
    }[]
  }[]
}

export interface WycheproofReport {
  readonly total: number
  /** Tests whose verdict is not the wanted one. */
  readonly wrong: readonly { readonly tcId: number; readonly comment: string; readonly wanted: string }[]
  /** Every verdict in the order of the file, to compare backends with each other. */
  readonly verdicts: readonly boolean[]
}

/** Asks `verifier` about every test of the file. Only `valid` is accepted: the file has no `acceptable`. */
export async function checkWycheproofEd25519(
  json: WycheproofEd25519,
  verifier: SignatureVerifier,
): Promise<WycheproofReport> {
  const tests = json.testGroups.flatMap(group => group.tests.map(test => ({ ...test, pk: group.publicKey.pk })))
  const checks = tests.map((test): SignatureCheck => {
    if (test.result !== 'valid' && test.result !== 'invalid') throw new Error(`test ${test.tcId}: ${test.result}`)
    return { publicKey: fromHex(test.pk), message: fromHex(test.msg), signature: fromHex(test.sig) }
  })
  const verdicts = await verifier.verifyAll(checks)
  const wrong = tests
    .filter((test, i) => verdicts[i] !== (test.result === 'valid'))
    .map(({ tcId, comment, result }) => ({ tcId, comment, wanted: result }))
  return { total: tests.length, wrong, verdicts }
}
