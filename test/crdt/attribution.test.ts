import * as Automerge from '@automerge/automerge/slim'
import { beforeAll, describe, expect, it } from 'vitest'
import { attribute, type KnownWriters } from '../../src/crdt/attribution.ts'
import { type AnyDoc, emptyDoc } from '../../src/crdt/content.ts'
import type { ActorId, DocumentId, MemberId } from '../../src/ids.ts'
import { type ActorRecord, type DocumentRecord, emptyDocument, withActor } from '../../src/verify/state.ts'
import { initializeAutomerge } from '../helpers/automerge.ts'
import { keys, member, Story, sealed, WRAP } from '../helpers/membership-story.ts'

const DOCUMENT = '07'.repeat(16) as DocumentId
const ANN = 'a1'.repeat(16) as ActorId
/** Ann's next incarnation, after the first was retired. */
const ANN_AGAIN = 'a2'.repeat(16) as ActorId
const BOB = 'b2'.repeat(16) as ActorId
const BOBS_TABLET = 'b3'.repeat(16) as ActorId
const MALLORY = 'e5'.repeat(16) as ActorId
const NOBODY = 'ff'.repeat(16) as ActorId

beforeAll(initializeAutomerge)

const story = new Story()
const bobDevice = story.admit(0, 'Bob', 'phone')
const bobTablet = story.say(bobDevice, { type: 'add-device', device: keys('t'), wrap: WRAP, deviceName: sealed('t') })
const malloryDevice = story.admit(0, 'Mallory', 'm')

function recordWith(actors: readonly (readonly [ActorId, number])[]): DocumentRecord {
  return actors.reduce(
    (record, [actor, device]) => {
      const none = new Uint8Array(32)
      const written: ActorRecord = {
        ...{ actor, device, seq: 0, hash: none, epoch: 0, tag: none, tagEpoch: 0, seenSize: 0 },
        retired: false,
      }
      return withActor(record, written)
    },
    emptyDocument(DOCUMENT, 0),
  )
}

interface Known {
  /** Actors whose entries are in the log, with their devices. */
  readonly logged?: readonly (readonly [ActorId, number])[]
  /** Of them, those whose changes were taken: by default all. */
  readonly taken?: readonly ActorId[]
  readonly importer?: number
  readonly own?: Partial<KnownWriters['own']>
}

function writers({ logged = [], taken = logged.map(([actor]) => actor), importer, own = {} }: Known): KnownWriters {
  const record = { ...recordWith(logged), importer, importTag: importer === undefined ? undefined : new Uint8Array(32) }
  const self = { actor: ANN, member: member('ann'), device: 0, hasUnsent: false, hasImported: false }
  return {
    control: story.control,
    record: logged.length === 0 && importer === undefined ? undefined : record,
    tips: new Map(taken.map(actor => [actor, { seq: 1, hash: new Uint8Array(32) }])),
    own: { ...self, ...own },
  }
}

function edit(doc: AnyDoc, actor: ActorId, at: number, text: string): AnyDoc {
  return Automerge.change(Automerge.clone(doc, { actor }), { time: 0 }, draft => {
    if (draft.body === undefined) draft.body = ''
    Automerge.splice(draft as never, ['body'], at, 0, text)
  })
}

/** `Ann: one `, `Bob/3: two`. */
function told(doc: AnyDoc, known: KnownWriters): readonly string[] {
  const names = new Map<MemberId | undefined, string>([
    [member('ann'), 'Ann'],
    [member('bob'), 'Bob'],
    [member('mallory'), 'Mallory'],
    [undefined, '?'],
  ])
  return attribute(doc, known, ['body']).map(({ start, end, member: id, device, imported }) => {
    const text = (doc.body as string).slice(start, end)
    return `${names.get(id)}${device === undefined ? '' : `/${device}`}${imported ? ' imported' : ''}: ${text}`
  })
}

describe('attribution', () => {
  it('goes from actors to devices and members as the verified state says, over all incarnations of a device', () => {
    let doc = edit(emptyDoc(ANN), ANN, 0, 'one ')
    doc = edit(doc, BOB, 4, 'two ')
    doc = edit(doc, BOBS_TABLET, 8, 'three ')
    doc = edit(doc, ANN_AGAIN, 14, 'four ')
    doc = edit(doc, ANN, 19, 'five')
    const logged = [
      [ANN, 0],
      [ANN_AGAIN, 0],
      [BOB, bobDevice],
      [BOBS_TABLET, bobTablet],
    ] as const
    expect(told(doc, writers({ logged }))).toEqual([
      'Ann/0: one ',
      `Bob/${bobDevice}: two `,
      `Bob/${bobTablet}: three `,
      'Ann/0: four five',
    ])
    expect(attribute(doc, writers({ logged }))).toEqual(attribute(doc, writers({ logged }), ['body']))
    expect(attribute(doc, writers({ logged }), ['nothing'])).toEqual([])
  })

  it('a member keeps what it wrote when it is removed, and so does a device', () => {
    const left = new Story()
    const device = left.admit(0, 'Bob', 'phone')
    left.say(0, { type: 'remove-member', member: member('bob') })
    const doc = edit(edit(emptyDoc(ANN), ANN, 0, 'here '), BOB, 5, 'and gone')
    const known = writers({
      logged: [
        [ANN, 0],
        [BOB, device],
      ],
    })
    expect(told(doc, { ...known, control: left.control })).toEqual(['Ann/0: here ', `Bob/${device}: and gone`])
  })

  it('own changes that no entry holds yet are one’s own, before the log has anything and before it admits the device', () => {
    const doc = edit(edit(emptyDoc(ANN), ANN, 0, 'mine'), BOB, 4, ' his')
    const none = { logged: [[BOB, bobDevice]] as const, taken: [BOB] }
    expect(told(doc, writers({ ...none, own: { hasUnsent: true } }))).toEqual(['Ann/0: mine', `Bob/${bobDevice}:  his`])
    const alone = edit(emptyDoc(ANN), ANN, 0, 'mine')
    const unknown = { ...writers({ own: { hasUnsent: true, device: undefined } }), control: undefined }
    expect(told(alone, unknown)).toEqual(['Ann: mine'])
  })

  it('what came with an import is of who imported it, whoever wrote it elsewhere (R-ATTR-2)', () => {
    const doc = edit(edit(emptyDoc(NOBODY), NOBODY, 0, 'foreign'), BOB, 7, ' and new')
    const logged = [
      [BOB, bobDevice],
      [ANN, 0],
    ] as const
    expect(told(doc, writers({ logged, importer: 0 }))).toEqual([
      'Ann/0 imported: foreign',
      `Bob/${bobDevice}:  and new`,
    ])
    expect(told(doc, writers({ own: { hasImported: true } }))[0]).toBe('Ann/0 imported: foreign and new')
  })

  it('an import that names somebody else’s actor frames nobody: only what was taken from entries of that actor counts (R-ATTR-1)', () => {
    // Mallory knows the actors of Ann and Bob from their entries, and begins a document with words under both.
    const doc = edit(edit(emptyDoc(ANN), ANN, 0, 'I owe Mallory '), BOB, 14, 'and so do I')
    const logged = [
      [ANN, 0],
      [BOB, bobDevice],
      [MALLORY, malloryDevice],
    ] as const
    // The entries of Ann and Bob are in the log, where anybody can put a header; their changes were refused (R-IMPORT-4).
    const known = writers({ logged, taken: [MALLORY], importer: malloryDevice })
    expect(told(doc, known)).toEqual([`Mallory/${malloryDevice} imported: I owe Mallory and so do I`])
    // On Ann's own device, too.
    expect(told(doc, { ...known, own: { ...known.own, hasUnsent: false } })).toEqual(told(doc, known))
  })

  it('what nothing proves to be anybody’s is nobody’s', () => {
    const doc = edit(edit(emptyDoc(NOBODY), NOBODY, 0, 'whose?'), ANN, 6, ' mine')
    // An actor that is in no entry; one that was taken but is not in the state; one whose device is not.
    expect(told(doc, writers({ logged: [[ANN, 0]] }))).toEqual(['?: whose?', 'Ann/0:  mine'])
    expect(told(doc, writers({ logged: [[ANN, 0]], taken: [NOBODY, ANN] }))).toEqual(['?: whose?', 'Ann/0:  mine'])
    expect(
      told(
        doc,
        writers({
          logged: [
            [ANN, 0],
            [NOBODY, 99],
          ],
        }),
      ),
    ).toEqual(['?: whose?', 'Ann/0:  mine'])
    expect(told(doc, { ...writers({ logged: [[ANN, 0]] }), control: undefined })).toEqual(['?: whose? mine'])
  })
})
