import { concat, equalBytes, fromHex } from '../../src/bytes.ts'
import { open, seal } from '../../src/crypto/aead.ts'
import { hasCode } from '../../src/errors.ts'

/** The parts of Wycheproof's `aead_test_schema_v1` that are used here. No imports of a platform: runs in pages too. */
export interface WycheproofAead {
  readonly testGroups: readonly {
    readonly tests: readonly {
      readonly tcId: number
      readonly comment: string
      readonly key: string
      readonly iv: string
      readonly aad: string
      readonly msg: string
      readonly ct: string
      readonly tag: string
      readonly result: string
    }[]
  }[]
}

export interface WycheproofReport {
  readonly total: number
  readonly wrong: readonly { readonly tcId: number; readonly comment: string; readonly wanted: string }[]
}

type AeadTest = WycheproofAead['testGroups'][number]['tests'][number]

/** Seals and opens every test of the file. */
export function checkWycheproofXChaCha(json: WycheproofAead): WycheproofReport {
  const tests = json.testGroups.flatMap(group => group.tests)
  const wrong = tests
    .filter(test => !isRight(test))
    .map(({ tcId, comment, result }) => ({ tcId, comment, wanted: result }))
  return { total: tests.length, wrong }
}

function isRight(test: AeadTest): boolean {
  const key = fromHex(test.key)
  const nonce = fromHex(test.iv)
  const aad = fromHex(test.aad)
  const message = fromHex(test.msg)
  const sealed = concat(fromHex(test.ct), fromHex(test.tag))
  if (test.result === 'valid') {
    return equalBytes(seal(key, nonce, message, aad), sealed) && equalBytes(open(key, nonce, sealed, aad), message)
  }
  if (test.result !== 'invalid') throw new Error(`test ${test.tcId}: ${test.result}`)
  try {
    open(key, nonce, sealed, aad)
    return false
  } catch (error) {
    // A nonce of another length is no ciphertext of ours but a mistake of the caller.
    return nonce.length === 24 ? hasCode(error, 'ERR_OPEN') : error instanceof TypeError
  }
}
