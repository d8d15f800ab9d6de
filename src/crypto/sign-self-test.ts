import { equalBytes, fromHex, toUtf8 } from '../bytes.ts'
import type { SignatureCheck } from './sign.ts'

/** A signature over `SELF_TEST_MESSAGE` on which implementations of Ed25519 are known to differ. */
export interface EdgeCase {
  readonly name: string
  /** 32 bytes in hex. */
  readonly publicKey: string
  /** 64 bytes in hex. */
  readonly signature: string
  readonly valid: boolean
}

export const SELF_TEST_MESSAGE: Uint8Array = toUtf8('sealog self-test')
/** The secret of the key in most of the cases: what a hostile member could do with its own key. */
const SELF_TEST_SEED: Uint8Array = fromHex('5c9a971847ce1a3c69999e61c1143ab70096440577365c35e247ee343ab76efe')

const KEY = '1e90b19016beadaa2aa92d2a0721684d748f1439997e3a9f83034762e95a450d'
const GOOD_R = '8bf69332f9d3aa4b4d8026cd1e082365ac6af38361c0cb303016c2e6cb4ae2fb'
const GOOD_S = 'd9aa1aba937ff4306da93b5687db2c4616ceda79870e68072d0aeddbe9fee501'
/** R and S with R = [S]B: valid under any key that vanishes from the equation. */
const KEYLESS =
  '3435bc7c0e32be3e4a3c9ff28e3e6922e4ec57691e95782df0888c3aa5a02e7e1a0131170db75e90cc6d0e0a4a613be9b4ca55f429550c7a72ed5a61a00ab701'

export const EDGE_CASES: readonly EdgeCase[] = [
  { name: 'good', publicKey: KEY, signature: GOOD_R + GOOD_S, valid: true },
  { name: 'S of another signature', publicKey: KEY, signature: GOOD_R + KEYLESS.slice(64), valid: false },
  {
    name: 'S + L',
    publicKey: KEY,
    signature: `${GOOD_R}c67e1017aee20689434633f965d50b5b16ceda79870e68072d0aeddbe9fee511`,
    valid: false,
  },
  {
    name: 'R with a component of order 8: valid only with the cofactor',
    publicKey: KEY,
    signature:
      '5dec6bd26519bd6119db0d74020ab380f0473e730897f76f7eba48c94358ac773f3a72479df25d753ecb8675a6d903ba8e97e2d4bd6906ed8ea6c069f718830d',
    valid: false,
  },
  {
    name: 'R of order 8',
    publicKey: KEY,
    signature:
      '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc052bcd9303338ba8b5ae6049d925496eae5ba91df659df3dbd6d18070a060f2f03',
    valid: false,
  },
  {
    name: 'R the identity',
    publicKey: KEY,
    signature:
      '010000000000000000000000000000000000000000000000000000000000000005730067d0767eb572676baa929ab941e93a66853ab8284db42c5d153855db0f',
    valid: true,
  },
  {
    name: 'R the identity, y written as p + 1',
    publicKey: KEY,
    signature:
      'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7fd0f34530a524af492c40ebdd1bb630d4dea76cb7e7a499f8270825d98b9a0c00',
    valid: false,
  },
  {
    name: 'R the identity, x written as −0',
    publicKey: KEY,
    signature:
      '0100000000000000000000000000000000000000000000000000000000000080a758464d86a3aceed74b9448ff4ee043f21dfa75f30792d664b41851a1460007',
    valid: false,
  },
  { name: 'key the identity', publicKey: `01${'00'.repeat(31)}`, signature: KEYLESS, valid: false },
  {
    name: 'key the identity, y written as p + 1',
    publicKey: `ee${'ff'.repeat(30)}7f`,
    signature: KEYLESS,
    valid: false,
  },
  {
    name: 'key with a component of order 8',
    publicKey: '22fb5b41afb1b1eeaba41bc72ff5264ae17eb8c250d5e84a47559148fe89acef',
    signature:
      '40b6c98a76c5450739b713a2a1251374f47c18082b244fec12c4df528c44df53b75f48ab6d334f2fd4bb7177a8c10292c6f69065d2fcd6205629b51f9f774f07',
    valid: false,
  },
]

export function checkOf(edge: EdgeCase): SignatureCheck {
  return {
    publicKey: fromHex(edge.publicKey),
    message: SELF_TEST_MESSAGE,
    signature: fromHex(edge.signature),
  }
}

/** Does this runtime give our verdict on every edge case, without failing at any? */
export async function verifiesLikeReference(check: (check: SignatureCheck) => Promise<boolean>): Promise<boolean> {
  try {
    const verdicts = await Promise.all(EDGE_CASES.map(edge => check(checkOf(edge))))
    return EDGE_CASES.every((edge, i) => verdicts[i] === edge.valid)
  } catch {
    return false
  }
}

/**
 * Does this runtime sign as RFC 8032 says? Some add randomness; theirs are good signatures, but not equal ones.
 * @param signer gives what signs with a seed of 32 bytes
 */
export async function signsLikeReference(
  signer: (seed: Uint8Array) => (message: Uint8Array) => Promise<Uint8Array>,
): Promise<boolean> {
  try {
    const sign = signer(SELF_TEST_SEED)
    const expected = fromHex(GOOD_R + GOOD_S)
    const twice = [await sign(SELF_TEST_MESSAGE), await sign(SELF_TEST_MESSAGE)]
    return twice.every(signature => equalBytes(signature, expected))
  } catch {
    return false
  }
}
