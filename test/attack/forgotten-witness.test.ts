import { describe, expect, it } from 'vitest'
import { decodeTrustRow, encodeTrustRow, type Vouched } from '../../src/crdt/trust.ts'
import { Witness } from '../../src/crdt/witness.ts'
import { advance } from '../../src/verify/advance.ts'
import { judgeEvidence } from '../../src/verify/judge.ts'
import { bytesOf, LogBuilder } from '../helpers/log-builder.ts'

const { log, writer } = LogBuilder.withWriter()
for (let i = 0; i < 12; i++) log.append(log.changes(writer))
const NOTE = log.note(log.checkpoint(7))

describe('a relay that signs a state which the log refutes (R-EVIDENCE-1)', () => {
  it('is convicted although it sent a document in the middle of the catch-up', async () => {
    const view = await log.viewAt(7)
    const witness = new Witness(view, NOTE)
    const first = log.batch(7, 10)
    const { view: ahead } = advance(view, first)
    witness.accepted(ahead, first.note, first)
    // The document leaves the log where it is.
    witness.accepted({ ...ahead }, first.note, undefined)
    const wrong = log.batch(10, log.size, { checkpoint: { stateRoot: bytesOf('another state') } })
    expect(() => advance({ ...ahead, head: undefined }, wrong)).toThrow('ERR_STATE_ROOT')
    const evidence = witness.suspect(wrong)
    expect(evidence && judgeEvidence(evidence).verdict).toBe('holds')
  })

  it('is convicted by a head of the same size that it signed in the middle of the catch-up', async () => {
    const view = await log.viewAt(7)
    const witness = new Witness(view, NOTE)
    const first = log.batch(7, 10)
    witness.accepted(advance(view, first).view, first.note, first)
    expect(witness.suspect(undefined)).toBeUndefined()
    witness.heard(log.note({ ...log.checkpoint(), root: bytesOf('another root') }))
    const evidence = witness.suspect(undefined)
    expect(evidence && judgeEvidence(evidence).verdict).toBe('holds')
  })
})

describe('what a replica rests on that skipped', () => {
  it('is not the inviter where an own device alone answered for it', () => {
    const vouched: Vouched = { target: { size: 7, note: NOTE }, by: [], audited: log.emptyView(), note: undefined }
    expect(decodeTrustRow(encodeTrustRow(vouched)).by).toEqual([])
    expect(decodeTrustRow(encodeTrustRow({ ...vouched, by: 'inviter' })).by).toBe('inviter')
  })
})
