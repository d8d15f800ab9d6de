import {
  decodeRelayMessage,
  decodeReplicaMessage,
  encodeMessage,
  equalBytes,
  type Message,
  SealogError,
} from 'sealog/protocol'
import { expect, test } from 'vitest'
import { anyFrame, diceOf } from './helpers/fuzz-frames.ts'
import { surroundingsOf } from './helpers/fuzz-world.ts'
import { openWorld } from './helpers/world.ts'

const FRAMES = 6000
/** What a decoder may say, and does. */
const CODES = ['ERR_LIMIT', 'ERR_MALFORMED', 'ERR_UNEXPECTED', 'ERR_UPGRADE']

test('a frame is refused with a code, or is the one spelling of the message that it is read as (R-CBOR-1, R-MSG-1)', async () => {
  const around = await surroundingsOf(await openWorld())
  const dice = diceOf(1)
  const types = new Set<string>()
  const refusals = new Map<string, number>()
  for (let i = 0; i < FRAMES; i++) {
    const frame = anyFrame(dice, around)
    const before = frame.slice()
    for (const decode of [decodeReplicaMessage, decodeRelayMessage]) {
      let message: Message
      try {
        message = decode(frame)
      } catch (error) {
        if (!(error instanceof SealogError)) throw error
        refusals.set(error.code, (refusals.get(error.code) ?? 0) + 1)
        continue
      }
      types.add(message.type)
      if (!equalBytes(encodeMessage(message), frame)) expect(encodeMessage(message)).toEqual(frame)
    }
    expect(equalBytes(frame, before)).toBe(true)
  }
  // Otherwise the frames would be too wild to reach anything.
  expect(types.size).toBeGreaterThanOrEqual(20)
  expect([...refusals.keys()].sort()).toEqual(CODES)
}, 60_000)
