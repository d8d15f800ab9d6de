import { expect, it } from 'vitest'
import { hashControl } from '../../src/verify/control-hash.ts'
import { crew } from '../helpers/crew.ts'

/** More than a call takes arguments. */
const MANY = 200_000

it('a state that has grown for years, which nobody can make it shrink, is still committed to (R-STATE-1)', () => {
  const { controlState } = crew().log
  const [epoch] = controlState.epochs
  if (epoch === undefined) throw new Error('an empty space')
  const epochs = Array.from({ length: MANY }, () => epoch)
  const hash = hashControl({ ...controlState, epochs })
  expect(hash).toHaveLength(32)
  expect(hash).not.toEqual(hashControl({ ...controlState, epochs: epochs.slice(1) }))
})
