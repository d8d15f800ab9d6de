import { afterEach, describe, expect, it } from 'vitest'
import { verifySync } from '../../src/crypto/sign.ts'
import { auditCheck, parseAuditCredential } from '../../src/relay/audit-credential.ts'
import { originOf } from '../../src/verify/checkpoint.ts'
import { parseVerifierKey } from '../../src/verify/note-key.ts'
import { admitted, allSynced, eventually, founded, idOf, timely } from '../helpers/people.ts'
import { openWorld, type World } from '../helpers/world.ts'

const DAY = 24 * 60 * 60 * 1000

let world: World

afterEach(() => world.close())

describe('the right to audit a log (R-TILES-5)', () => {
  it('is made by any member, offline too, for the relay that the space is at', async () => {
    world = await openWorld({ hurry: 0.02 })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob', { role: 'reader' })
    world.down()
    for (const { space } of [ann, bob]) {
      const before = world.platform.environment.now()
      const { url, authorization, verifierKey, expires } = await space.auditAccess({ expiresIn: 2 * DAY })
      expect(url).toBe(`http://relay.test/log/${space.id}`)
      expect(expires).toBeGreaterThanOrEqual(before + 2 * DAY)
      const credential = parseAuditCredential(authorization.replace(/^Bearer /, ''))
      expect(credential).toMatchObject({ space: space.id, expires })
      expect(space.hasDevice(credential.device)).toBe(true)
      expect(verifySync(auditCheck(space.relay, credential))).toBe(true)
      const { name, publicKey } = parseVerifierKey(verifierKey)
      expect(name).toBe(originOf(space.relay.name, space.id))
      expect(publicKey).toEqual(space.relay.key)
    }
  })

  it('ends some day, and is not for who is gone', async () => {
    world = await openWorld({ hurry: 0.02 })
    const ann = await founded(world)
    const bob = await admitted(world, ann.space, 'Bob')
    for (const expiresIn of [0, -1, 0.5, Number.NaN, 91 * DAY]) {
      await expect(ann.space.auditAccess({ expiresIn })).rejects.toThrow(/expiresIn/)
    }
    await ann.space.auditAccess({ expiresIn: 90 * DAY })
    await ann.space.removeMember(idOf(ann.space, 'Bob'), timely(world))
    await eventually(() => bob.space.status.membership).toBe('removed')
    await expect(bob.space.auditAccess()).rejects.toMatchObject({ code: 'ERR_REMOVED' })
    await allSynced(world, ann)
    await ann.space.close()
    await expect(ann.space.auditAccess()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  })
})
