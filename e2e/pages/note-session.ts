import { splice } from '@automerge/automerge/slim'
import type { Replica, Space, SpaceDocument, SpaceStatus } from 'sealog'

interface Note extends Record<string, unknown> {
  body: string
}

/** What a test sees of a replica: plain data, so that it can leave the page. */
export interface Look {
  readonly text: string
  readonly heads: readonly string[]
  readonly connection: SpaceStatus['connection']
  /** Own changes that are not proven. */
  readonly waiting: number
  /** Number of verified entries. */
  readonly size: number
  readonly problems: readonly string[]
}

/** One replica with one space and one note in it, as all pages under test use it. */
export class NoteSession {
  readonly #open: () => Promise<Replica>
  #replica: Promise<Replica> | undefined
  #space: Promise<Space> | undefined
  #note: Promise<SpaceDocument<Note>> | undefined

  /** @param open opens the replica; called when it is first needed */
  constructor(open: () => Promise<Replica>) {
    this.#open = open
  }

  async create(): Promise<void> {
    const replica = await this.#opened()
    this.#space = replica.createSpace({ name: 'Field notes', timeout: 15_000 })
    this.#note = (await this.#space).createDocument<Note>({ body: '' }, { name: 'Day 1' })
    await this.#note
  }

  async invite(): Promise<string> {
    return (await this.#known()).invite({ timeout: 15_000 })
  }

  async join(link: string): Promise<void> {
    const replica = await this.#opened()
    this.#space = replica.joinSpace(link, { timeout: 15_000 })
    await this.#space
  }

  /** Inserts each `<word>` into the note, in a change of its own, between two words `share` of the way through it. */
  async write(words: readonly string[], share: number, pause = 0): Promise<void> {
    const note = await this.#current()
    for (const word of words) {
      note.change(draft => {
        const next = draft.body.indexOf('<', Math.floor(draft.body.length * share))
        splice(draft, ['body'], next === -1 ? draft.body.length : next, 0, word)
      })
      if (pause > 0) await new Promise(resolve => setTimeout(resolve, pause))
    }
  }

  /** Resolves when everything written so far is in the local store. */
  async saved(): Promise<void> {
    await (await this.#current()).saved()
  }

  async sync(): Promise<void> {
    await (await this.#known()).sync({ timeout: 30_000 })
  }

  async look(): Promise<Look> {
    const space = await this.#known()
    const note = await this.#current()
    const { connection, local, confirmed } = space.status
    return {
      text: note.doc().body ?? '',
      heads: [...note.heads()].sort(),
      connection,
      waiting: local.unsaved + local.pending + local.sequenced,
      size: confirmed.size,
      problems: space.problems.map(({ code, message }) => `${code} ${message}`),
    }
  }

  async close(): Promise<void> {
    await (await this.#replica)?.close()
  }

  #opened(): Promise<Replica> {
    this.#replica ??= this.#open()
    return this.#replica
  }

  /** The space of the local store, which needs no network. */
  async #known(): Promise<Space> {
    const replica = await this.#opened()
    const [id] = await replica.spaces()
    if (id === undefined) throw new Error('no space in the store')
    this.#space ??= replica.openSpace(id)
    return this.#space
  }

  async #current(): Promise<SpaceDocument<Note>> {
    const space = await this.#known()
    const [info] = space.documents()
    if (info === undefined) throw new Error('no note in the space')
    this.#note ??= space.openDocument<Note>(info.id)
    return this.#note
  }
}
