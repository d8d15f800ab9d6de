import {
  type ControlState,
  type DeviceRecord,
  type DocumentId,
  documentIdOf,
  type EpochRecord,
  encodeControlBody,
  type MemberRecord,
  platformEnvironment,
  type VerifiedEntry,
} from 'sealog/protocol'
import { type EpochSecret, epochStartOf, grantBody, makeDelivery, openBody, SpaceKeys, sealBody } from 'sealog/testing'
import { newKeeper } from './key-rings.ts'
import { type Figure, median, timed } from './measure.ts'
import { openPlainWrap, plainDevice, plainWrap } from './plain-wraps.ts'
import { crewsOf, type SyntheticDevice } from './synthetic-crew.ts'
import { bytesOf } from './synthetic-keys.ts'

const GRANTED = 100
const ROUNDS = 7
/** A paragraph. */
const PAYLOAD: Uint8Array = new Uint8Array(300)
const AAD: Uint8Array = bytesOf('header')

interface History {
  /** With so many epochs after the first. */
  readonly control: ControlState
  readonly secrets: ReadonlyMap<number, EpochSecret>
  readonly device: SyntheticDevice
}

/**
 * Opening an entry of the first epoch in a space that has had many since: by a device that knows the newest secret only,
 * and walks the links; by one that has done so before, and has them stored; and what a grant of old epochs takes.
 * @param ages in epochs
 */
export async function benchOldEpochs(ages: readonly number[]): Promise<readonly Figure[]> {
  const figures: Figure[] = []
  for (const age of ages) figures.push(...(await benchAge(age, await historyOf(age))))
  return [...figures, ...(await benchGrant(await historyOf(GRANTED)))]
}

/** A space of one device. Its epochs have links, which are what is followed here, and no wraps. */
async function historyOf(age: number): Promise<History> {
  const [crew] = crewsOf([1])
  if (crew === undefined) throw new Error('no crew')
  const { control } = crew.state
  const secrets = new Map<number, EpochSecret>([[0, { kind: 'all', secret: crew.secret }]])
  const keys = new SpaceKeys(secrets)
  const epochs: EpochRecord[] = [...control.epochs]
  for (let epoch = 1; epoch <= age; epoch++) {
    const secret = bytesOf(`secret of epoch ${epoch}`)
    const breathe = (): Promise<void> => Promise.resolve()
    const target = epoch - 1
    const { delivery } = await makeDelivery({
      space: control.space,
      epoch,
      secret,
      keys,
      target,
      recipients: [],
      breathe,
    })
    secrets.set(epoch, { kind: 'all', secret })
    const deliveries = [{ ...delivery, index: epoch, device: 0 }]
    epochs.push({ ...epochStartOf(secret), index: epoch, device: 0, time: epoch, deliveries })
  }
  return { control: { ...control, epochs }, secrets, device: crew.founder }
}

async function benchAge(age: number, { control, secrets, device }: History): Promise<readonly Figure[]> {
  const newest = new Map([[age, secrets.get(age) as EpochSecret]])
  const all = new SpaceKeys(secrets)
  const walks: number[] = []
  const restarts: number[] = []
  const olds: number[] = []
  const news: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const old = sealedEntry(all, age, round, 0)
    const fresh = sealedEntry(all, age, round, age)
    const current = newKeeper(control.space, secrets)
    restarts.push(await timed(() => current.keeper.gather(control, device, [])))
    news.push(await timed(() => fresh.open(current.keeper.keys)))
    olds.push(await timed(() => old.open(current.keeper.keys)))
    const { keeper, problems } = newKeeper(control.space, newest)
    walks.push(
      await timed(async () => {
        await keeper.gather(control, device, [])
        sealedEntry(all, age, round, 0).open(keeper.keys)
      }),
    )
    if (problems.list().length > 0) throw new Error(JSON.stringify(problems.list()))
  }
  const name = (what: string): string => `${age} epochs old: ${what}`
  const floor = median(news)
  return [
    { case: name('open an entry, walking the links'), value: median(walks), unit: 'ms', floor },
    { case: name('start with all keys stored, once'), value: median(restarts), unit: 'ms', floor },
    { case: name('open an entry, keys stored'), value: median(olds), unit: 'ms', floor },
  ]
}

interface SealedEntry {
  open(keys: SpaceKeys): void
}

/** Of a document of its own, born in the same epoch. */
function sealedEntry(keys: SpaceKeys, age: number, round: number, epoch: number): SealedEntry {
  const document: DocumentId = documentIdOf(bytesOf(`document ${age} ${round} ${epoch}`).slice(0, 16))
  const { random } = platformEnvironment()
  const { content } = keys.forDocument(document, epoch, epoch)
  const body = sealBody({ key: content, payload: PAYLOAD, aad: AAD, random, seq: 0 })
  return { open: held => void openBody({ key: held.forDocument(document, epoch, epoch).content, body, aad: AAD }) }
}

async function benchGrant({ control, secrets, device }: History): Promise<readonly Figure[]> {
  const late = lateComer(control)
  const record = late.devices.get(device.number) as DeviceRecord
  const writing = { ...platformEnvironment(), space: control.space, time: 0, epoch: GRANTED }
  const plain = plainDevice()
  const seals: number[] = []
  const opens: number[] = []
  const plainSeals: number[] = []
  const plainOpens: number[] = []
  let length = 0
  for (let round = 0; round < ROUNDS; round++) {
    const keys = new SpaceKeys(secrets)
    let body = grantBody({ ...writing, keys }, record, 0)
    seals.push(
      await timed(() => {
        body = grantBody({ ...writing, keys }, record, 0)
      }),
    )
    const own: EpochSecret = { kind: 'read', secret: keys.readSecret(GRANTED) }
    const { keeper, problems } = newKeeper(control.space, new Map([[GRANTED, own]]))
    const granted = { control: body } as VerifiedEntry
    opens.push(await timed(() => keeper.gather(late, device, [granted])))
    if (!keeper.keys.canRead(0) || problems.list().length > 0) throw new Error('the grant does not give the keys')
    let wrap: Uint8Array = body.sealed
    plainSeals.push(
      await timed(() => {
        wrap = plainWrap(bytesOf('secret'), plain.publicKey)
      }),
    )
    plainOpens.push(await timed(() => openPlainWrap(plain, wrap)))
    length = encodeControlBody(body).length
  }
  const name = (what: string): string => `grant of ${GRANTED} epochs: ${what}`
  return [
    { case: name('body of the entry'), value: length, unit: 'bytes', floor: 32 * GRANTED },
    { case: name('make'), value: median(seals), unit: 'ms', floor: median(plainSeals) },
    { case: name('open and check'), value: median(opens), unit: 'ms', floor: median(plainOpens) },
  ]
}

/** The same space as if the device had come with its latest epoch, and its member read from there on. */
function lateComer(control: ControlState): ControlState {
  const [device] = [...control.devices.values()] as [DeviceRecord]
  const [member] = [...control.members.values()] as [MemberRecord]
  const epoch = control.epochs.length - 1
  const late = { ...device, readsFrom: epoch, since: { ...device.since, epoch } }
  return {
    ...control,
    devices: new Map([[late.number, late]]),
    members: new Map([[member.id, { ...member, history: 'from-join' }]]),
  }
}
