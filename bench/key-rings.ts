import { type Keys, platformEnvironment } from 'sealog/protocol'
import { type EpochSecret, KeyKeeper, Problems } from 'sealog/testing'

/**
 * What finds the keys of a space for one device, with a relay that has one answer at hand.
 * @param space 32 bytes
 * @param answer undefined: nobody is to be asked
 */
export function newKeeper(
  space: Uint8Array,
  epochs: ReadonlyMap<number, EpochSecret>,
  answer?: Keys,
): { readonly keeper: KeyKeeper; readonly problems: Problems } {
  const refuse = (): Promise<never> => Promise.reject(new Error('nobody is to be asked'))
  const problems = new Problems(() => {})
  const keeper = new KeyKeeper({
    space,
    channel: { keys: answer === undefined ? refuse : () => Promise.resolve(answer), bodyStart: refuse },
    problems,
    environment: platformEnvironment(),
    epochs,
    keep: () => Promise.resolve(),
  })
  return { keeper, problems }
}
