import { type DeliveredWrap, type Keys, proveWrap, wrapLeaf, ZERO_32 } from 'sealog/protocol'
import { forgeLog } from './forged-log.ts'
import { flip, type Lie, replaceAt, type Teller, type Telling } from './lie.ts'

/** Other answers to `get-keys` than the true one: secrets of epochs come from these, so each must prove itself. */
export const KEY_LIES: readonly Lie[] = [
  wrapLie('keys-flipped-wrap', 'a bit is flipped in a wrap', ['ERR_PROOF'], told => ({
    ...told,
    wrap: flip(told.wrap, 100),
  })),
  wrapLie(
    'keys-wrap-of-another-device',
    'a wrap is that of another device, under the number of the one who asks',
    ['ERR_PROOF'],
    async (told, { wrapsOf }) => {
      const other = (await wrapsOf(told.index)).find(({ device }) => device !== told.device)
      return other && { ...told, wrap: other.wrap }
    },
  ),
  wrapLie(
    'keys-for-another-device',
    'a wrap is that of another device, with its number and its proof',
    ['ERR_PROOF', 'ERR_UNEXPECTED'],
    async (told, { wrapsOf }) => {
      const all = await wrapsOf(told.index)
      const other = all.find(({ device }) => device !== told.device)
      const leaves = all.map(({ device, wrap }) => wrapLeaf(device, wrap))
      return other && { ...told, ...other, proof: proveWrap(leaves, other.position) }
    },
  ),
  wrapLie(
    'keys-of-an-older-epoch',
    'a wrap is the one that the device was given in an earlier epoch, with its proof',
    ['ERR_PROOF'],
    async (told, teller) => {
      for (const index of earlierDeliveries(told, teller)) {
        const all = await teller.wrapsOf(index)
        const old = all.find(({ device }) => device === told.device)
        const leaves = all.map(({ device, wrap }) => wrapLeaf(device, wrap))
        if (old !== undefined) {
          const { position, wrap } = old
          return { ...told, position, wrap, proof: proveWrap(leaves, position) }
        }
      }
      return undefined
    },
  ),
  wrapLie('keys-flipped-proof', 'a bit is flipped in the proof of a wrap', ['ERR_PROOF'], told => ({
    ...told,
    proof: replaceAt(told.proof.length > 0 ? told.proof : [ZERO_32], 0, flip(told.proof[0] ?? ZERO_32, 0)),
  })),
  wrapLie('keys-shorter-proof', 'a hash is missing in the proof of a wrap', ['ERR_PROOF'], told =>
    told.proof.length > 0 ? { ...told, proof: told.proof.slice(1) } : undefined,
  ),
  wrapLie('keys-longer-proof', 'the proof of a wrap has a hash too many', ['ERR_PROOF'], told => ({
    ...told,
    proof: [...told.proof, ZERO_32],
  })),
  wrapLie('keys-moved', 'a wrap is said to stand one place further', ['ERR_PROOF'], told => ({
    ...told,
    position: told.position + 1,
  })),
  wrapLie('keys-renumbered', 'a wrap is said to be of the epoch after', ['ERR_PROOF', 'ERR_UNEXPECTED'], told => ({
    ...told,
    epoch: told.epoch + 1,
  })),
  wrapLie(
    'keys-of-no-delivery',
    'a wrap is said to be from an entry that delivers none',
    ['ERR_PROOF', 'ERR_UNEXPECTED'],
    told => ({ ...told, index: told.index + 1 }),
  ),
  keysLie('keys-withheld', 'the wraps are withheld, as if the relay had lost them', [], keys =>
    keys.wraps.length > 0 ? { ...keys, wraps: [] } : undefined,
  ),
]

/** Places of what was delivered before this. */
function earlierDeliveries({ index: at }: DeliveredWrap, { log }: Teller): readonly number[] {
  const epochs = forgeLog(log).state(log.length)?.control.epochs ?? []
  return epochs.flatMap(({ deliveries }) => deliveries.map(({ index }) => index)).filter(index => index < at)
}

/** Changes the last wrap of an answer: the one of the newest epoch. */
function wrapLie(
  name: string,
  says: string,
  expected: Lie['expected'],
  change: (told: DeliveredWrap, teller: Teller) => DeliveredWrap | undefined | Promise<DeliveredWrap | undefined>,
): Lie {
  return keysLie(name, says, expected, async (keys, teller) => {
    const last = keys.wraps.at(-1)
    const told = last && (await change(last, teller))
    return told && { ...keys, wraps: replaceAt(keys.wraps, keys.wraps.length - 1, told) }
  })
}

function keysLie(
  name: string,
  says: string,
  expected: Lie['expected'],
  change: (keys: Keys, teller: Teller) => Keys | undefined | Promise<Keys | undefined>,
): Lie {
  const tell: Lie['tell'] = async (message, teller): Promise<Telling | undefined> => {
    const told = message.type === 'keys' ? await change(message, teller) : undefined
    return told && [told]
  }
  return { name, says, expected, isSigned: false, freezes: false, tell }
}
