import { checkOf, EDGE_CASES, nobleSigningKey, nobleVerifier, type SignatureCheck } from 'sealog/protocol'
import { expect, test } from 'vitest'
import { nodeSigningKey, nodeVerifier } from '../src/node-signatures.ts'
import { testEnvironment } from './helpers/environment.ts'

const { random } = testEnvironment()
const seed = random(32)

/** More than are done on the thread of the caller, so that the thread pool's verdicts are seen too. */
const MANY = 5

async function goodCheck(length: number): Promise<SignatureCheck> {
  const key = nobleSigningKey(seed)
  const message = random(length)
  return { publicKey: key.publicKey, message, signature: await key.sign(message) }
}

function flipped(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice()
  copy[at % copy.length] = (copy[at % copy.length] as number) ^ (1 << (at % 8))
  return copy
}

test('verdicts are those of the reference on every edge case, alone and among many (R-SIGN-1)', async () => {
  const verifier = await nodeVerifier()
  expect(verifier.backend).toBe('node')
  for (const edge of EDGE_CASES) {
    const check = checkOf(edge)
    expect(await verifier.verify(check), edge.name).toBe(edge.valid)
    expect(await verifier.verifyAll([check]), edge.name).toEqual([edge.valid])
    expect(await verifier.verifyAll(Array(MANY).fill(check)), edge.name).toEqual(Array(MANY).fill(edge.valid))
  }
})

test('what is changed in one bit, or has another length, verifies no more (R-SIGN-1)', async () => {
  const verifier = await nodeVerifier()
  const good = await goodCheck(70)
  const wrong: SignatureCheck[] = [
    ...[0, 17, 31, 40, 63].map(at => ({ ...good, signature: flipped(good.signature, at) })),
    ...[0, 69].map(at => ({ ...good, message: flipped(good.message, at) })),
    { ...good, publicKey: flipped(good.publicKey, 3) },
    { ...good, signature: good.signature.subarray(0, 63) },
    { ...good, signature: new Uint8Array(65) },
    { ...good, publicKey: good.publicKey.subarray(1) },
    { ...good, publicKey: new Uint8Array(32).fill(2) },
  ]
  const checks = [good, ...wrong, good]
  const expected = [true, ...wrong.map(() => false), true]
  expect(await verifier.verifyAll(checks)).toEqual(expected)
  expect(await nobleVerifier.verifyAll(checks)).toEqual(expected)
  for (const [i, check] of checks.entries()) expect(await verifier.verifyAll([check])).toEqual([expected[i]])
})

test('verdicts come in the order of the questions, however many there are', async () => {
  const verifier = await nodeVerifier()
  const good = await goodCheck(30)
  const bad = { ...good, message: random(30) }
  const expected = Array.from({ length: 600 }, (_, i) => i % 7 !== 3)
  expect(await verifier.verifyAll(expected.map(holds => (holds ? good : bad)))).toEqual(expected)
  expect(await verifier.verifyAll([])).toEqual([])
})

test('a signing key gives the signatures of RFC 8032, and keeps its own copy of the seed', async () => {
  const lent = seed.slice()
  const key = await nodeSigningKey(lent)
  lent.fill(0)
  const reference = nobleSigningKey(seed)
  expect(key.publicKey).toEqual(reference.publicKey)
  for (const length of [0, 1, 300]) {
    const message = random(length)
    expect(await key.sign(message)).toEqual(await reference.sign(message))
  }
  await expect(nodeSigningKey(new Uint8Array(31))).rejects.toThrow(TypeError)
})
