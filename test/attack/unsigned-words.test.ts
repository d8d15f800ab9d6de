import { describe, expect, it } from 'vitest'
import { SealogError } from '../../src/errors.ts'
import { decodeRelayMessage, encodeMessage } from '../../src/relay/message-codec.ts'
import type { Reject } from '../../src/relay/session-messages.ts'
import { verdictOf } from '../helpers/log-builder.ts'
import { openPair, openWorld } from '../helpers/world.ts'

describe('what a relay says unsigned has no lasting effect', () => {
  it('advice to wait is bounded: no single refusal silences a replica', async () => {
    const reject: Reject = {
      type: 'reject',
      ref: 1,
      space: 'ab'.repeat(32) as Reject['space'],
      code: 'ERR_RATE_LIMITED',
      message: '',
      position: 0,
      retryAfter: 3_600_000,
    }
    expect(decodeRelayMessage(encodeMessage(reject))).toEqual(reject)
    const forever = encodeMessage({ ...reject, retryAfter: 3_600_001 })
    expect(await verdictOf(() => decodeRelayMessage(forever))).toBe('ERR_MALFORMED')
  })

  it.each(['', 'two words', 'a+b', 'line\nbreak', 'bell\u0007', 'c1\u0085'])(
    'a relay of the name %j, which no checkpoint can carry, is not pinned',
    async name => {
      const welcome = encodeMessage({
        type: 'welcome',
        version: 1,
        name,
        key: new Uint8Array(32),
        challenge: new Uint8Array(32),
      })
      expect(await verdictOf(() => decodeRelayMessage(welcome))).toBe('ERR_MALFORMED')
    },
  )

  it.each(['ERR_STORE', 'ERR_STORE_FULL'])(
    'a refusal with %s is not taken for trouble with the own disk',
    async code => {
      const world = await openWorld({ hurry: 0.1 })
      const { ann, bob, annSpace, bobSpace } = await openPair(world)
      annSpace.pause()
      bobSpace.pause()
      const seen: string[] = []
      bobSpace.on('status', ({ status }) => void seen.push(status.storage))
      let forged = false
      world.tamper = message => {
        if (message.type !== 'sync' || forged) return [message]
        forged = true
        const { ref, space } = message
        return [{ type: 'reject', ref, space, code, message: 'no', position: 0, retryAfter: 0 }]
      }
      bobSpace.resume()
      await expect.poll(() => forged, { timeout: 5000 }).toBe(true)
      await bobSpace.sync({ timeout: world.patience(5000) })
      await new Promise(resolve => setTimeout(resolve, 20))
      expect(seen.filter(storage => storage !== 'ok')).toEqual([])
      await ann.close()
      await bob.close()
    },
  )
})

describe('what a relay adds to its note, unsigned', () => {
  it('does not spoil the invites of those who received it', async () => {
    const world = await openWorld({ hurry: 0.1 })
    const { ann, bob, annSpace } = await openPair(world)
    // Signature lines by keys that nobody knows are part of the format; 15 of them, 4 KiB and more.
    const line = `— witness.example/${'w'.repeat(200)} ${Buffer.alloc(120, 7).toString('base64')}\n`
    world.tamper = message => {
      if (message.type !== 'sync') return [message]
      const text = Buffer.from(message.batch.note).toString()
      const note = new TextEncoder().encode(text + line.repeat(15))
      return [{ ...message, batch: { ...message.batch, note } }]
    }
    const link = await annSpace.invite({ timeout: world.patience(5000) })
    world.tamper = undefined
    const carl = await world.open('Carl')
    const preview = await carl.previewInvite(link).catch((error: unknown) => {
      if (error instanceof SealogError) return error.code
      throw error
    })
    expect(preview).toMatchObject({ space: annSpace.id })
    await Promise.all([ann.close(), bob.close(), carl.close()])
  })
})
