import {
  type ActorRecord,
  type DocumentId,
  decodeHeader,
  deleteAt,
  findActor,
  findDocument,
  type SpaceState,
  setAt,
  stateKey,
  stateRoot,
} from 'sealog/protocol'
import { type ForgedLog, forgeLog } from './forged-log.ts'
import { checkpointOf, convictingLie, type Lie, type Teller } from './lie.ts'
import { signed } from './lies-notes.ts'

/** State roots that forget what the log has, signed by the relay. */
export const STATE_LIES: readonly Lie[] = [
  stateLie(
    'state-forgets-entry',
    'the relay signs a state root in which the last entry of a document did not happen',
    (state, { document, actor }, before) => {
      const record = findDocument(state, document)
      const earlier = before && findDocument(before, document)
      const old = earlier && findActor(earlier, actor.actor)
      if (record === undefined || old === undefined) return undefined
      const actors = setAt(record.actors, stateKey(actor.actor), old)
      return { ...state, documents: setAt(state.documents, stateKey(document), { ...record, actors }) }
    },
  ),
  stateLie(
    'state-forgets-actor',
    'the relay signs a state root without one of the actors of a document',
    (state, { document, actor }) => {
      const record = findDocument(state, document)
      if (record === undefined) return undefined
      const actors = deleteAt(record.actors, stateKey(actor.actor))
      return { ...state, documents: setAt(state.documents, stateKey(document), { ...record, actors }) }
    },
  ),
  stateLie(
    'state-forgets-document',
    'the relay signs a state root without one of the documents',
    (state, { document }) => ({
      ...state,
      documents: deleteAt(state.documents, stateKey(document)),
    }),
  ),
  stateLie('state-forgets-device', 'the relay signs a state root without the device that was admitted last', state => {
    const devices = new Map(state.control.devices)
    const last = [...devices.keys()].at(-1)
    if (last !== undefined) devices.delete(last)
    return { ...state, control: { ...state.control, devices } }
  }),
  stateLie('state-changes-role', 'the relay signs a state root in which everybody is an owner', state => {
    const members = new Map(
      [...state.control.members].map(([id, member]) => [id, { ...member, role: 'owner' as const }]),
    )
    return { ...state, control: { ...state.control, members } }
  }),
]

/** The last entry that is about a document, and whose it is. */
interface Touched {
  readonly document: DocumentId
  readonly actor: ActorRecord
}

function stateLie(
  name: string,
  says: string,
  forget: (state: SpaceState, last: Touched, before: SpaceState | undefined) => SpaceState | undefined,
): Lie {
  return convictingLie({
    name,
    says,
    expected: ['ERR_STATE_ROOT'],
    batch: async (batch, teller) => {
      const { size } = checkpointOf(batch)
      const forged = forgeLog(teller.log.slice(0, size))
      const state = forged.state(size)
      const touched = state && lastTouched(teller, forged, state, size)
      if (state === undefined || touched === undefined) return undefined
      const lied = forget(state, touched.last, touched.before)
      return lied && signed(batch, teller, checkpoint => ({ ...checkpoint, stateRoot: stateRoot(lied) }))
    },
  })
}

function lastTouched(
  { log }: Teller,
  forged: ForgedLog,
  state: SpaceState,
  size: number,
): { readonly last: Touched; readonly before: SpaceState | undefined } | undefined {
  for (let index = size - 1; index >= 0; index--) {
    const entry = log[index]
    if (entry === undefined || entry.isControl) continue
    const { document } = decodeHeader(entry.header)
    const record = findDocument(state, document)
    const actor = record && findActor(record, entry.actor)
    return actor && { last: { document, actor }, before: forged.state(index) }
  }
  return undefined
}
