import { expect } from 'vitest'
import { memoryStore } from '../../src/crdt/store-memory.ts'
import type { MemberId } from '../../src/ids.ts'
import type { Replica } from '../../src/replica.ts'
import type { ReplicaOptions } from '../../src/replica-options.ts'
import type { Space } from '../../src/space.ts'
import type { SpaceDocument } from '../../src/space-document.ts'
import type { InviteOptions } from '../../src/space-status.ts'
import type { Note, World } from './world.ts'

type OpenOptions = Pick<ReplicaOptions, 'replicate' | 'staleAfter' | 'maxHeadAge'>

/** A device of a member, with its store at hand. */
export interface Person {
  readonly name: string
  readonly store: ReturnType<typeof memoryStore>
  readonly replica: Replica
  readonly space: Space
}

export interface Founder extends Person {
  readonly note: SpaceDocument<Note>
}

/** What takes longer than this many real milliseconds does not come any more. */
const PATIENCE = 15_000

/** How long a test waits, as the clock of the world counts. */
export function timely(world: World): { readonly timeout: number } {
  return { timeout: world.patience(PATIENCE) }
}

/** A space with its owner and one note, which the relay has. */
export async function founded(world: World, name = 'Ann', options: OpenOptions = {}): Promise<Founder> {
  const store = memoryStore()
  const replica = await world.open(name, store, options)
  const space = await replica.createSpace({ name: 'Field notes', ...timely(world) })
  const note = await space.createDocument<Note>({ title: 'Day 1', body: '' }, { name: 'Day 1' })
  await space.sync(timely(world))
  return { name, store, replica, space, note }
}

/** Somebody joins by an invite of `by`, who approves where that is wanted. */
export async function admitted(
  world: World,
  by: Space,
  name: string,
  invite: InviteOptions = {},
  options: OpenOptions = {},
): Promise<Person> {
  const link = await by.invite({ ...invite, ...timely(world) })
  const store = memoryStore()
  const replica = await world.open(name, store, options)
  const joining = replica.joinSpace(link, timely(world))
  if (invite.kind === 'approved') {
    await expect.poll(() => by.requests().map(request => request.name), { timeout: PATIENCE }).toContain(name)
    const request = by.requests().find(each => each.name === name)
    await by.approve(request?.id ?? -1, timely(world))
  }
  const space = await joining
  await space.sync(timely(world))
  return { name, store, replica, space }
}

/** The same device after a restart, or as it is when its store comes back elsewhere. */
export async function reopened(
  world: World,
  { name, store, replica, space: { id } }: Person,
  options: OpenOptions = {},
): Promise<Person> {
  await replica.close()
  const twin = store.twin()
  const again = await world.open(name, twin, options)
  return { name, store: twin, replica: again, space: await again.openSpace(id) }
}

/** The id of the member of this name, as `space` sees it. */
export function idOf(space: Space, name: string): MemberId {
  const member = space.members().find(each => each.name === name)
  if (member === undefined) throw new Error(`nobody is called ${name}`)
  return member.id
}

export function noteOf(person: Person, { id }: { readonly id: string }): Promise<SpaceDocument<Note>> {
  return person.space.openDocument<Note>(id)
}

export function retitle(note: SpaceDocument<Note>, title: string): void {
  note.change(doc => {
    doc.title = title
  })
}

/** Waits until something holds. */
export function eventually<T>(read: () => T): ReturnType<typeof expect.poll<T>> {
  return expect.poll(read, { timeout: PATIENCE })
}

/** Everybody has what everybody has. */
export async function allSynced(world: World, ...people: readonly Person[]): Promise<void> {
  for (let round = 0; round < 2; round++) for (const { space } of people) await space.sync(timely(world))
}

/** The epoch in force, as `space` sees it: every later one than the first has an entry that started it. */
export async function epochIn(space: Space): Promise<number> {
  return (await space.history()).filter(({ type }) => type === 'rotate').length
}

/** What a person is told, without what comes and goes with the connection. */
export function codesOf(space: Space): readonly string[] {
  return space.problems.map(({ code }) => code)
}
