import { listedKey, listSpaces, spaceKey, spacePrefix } from './crdt/rows.ts'
import { encodeSecrets, type SpaceSecrets } from './crdt/secrets.ts'
import { encodeViewRow } from './crdt/view-rows.ts'
import type { SealogError } from './errors.ts'
import type { SpaceId } from './ids.ts'
import type { RelayClient } from './relay/client.ts'
import { Space } from './space.ts'
import type { SpaceEngineOptions } from './space-engine.ts'
import { loadIdentity } from './space-loading.ts'
import { isAdmitted } from './space-standing.ts'
import type { LogView, PinnedRelay } from './verify/log.ts'

export interface LocalSpacesOptions extends Omit<SpaceEngineOptions, 'id' | 'client'> {
  /** The connection to a relay. @param isClaim only an invite says that this is its identity */
  readonly client: (url: string, known: PinnedRelay, isClaim: boolean) => Promise<RelayClient>
  readonly onOpened: (space: Space) => void
  /** There may be a new head. */
  readonly onHead: (space: Space) => void
  /** @throws SealogError ERR_CLOSED */
  readonly assertOpen: () => void
}

/** The spaces in the local store of a replica: which there are, and which of them are open. */
export class LocalSpaces {
  readonly #options: LocalSpacesOptions
  readonly #open = new Map<SpaceId, Promise<Space>>()
  /** For each space that somebody joins or removes: ends when the last of them is done. */
  readonly #turns = new Map<SpaceId, Promise<unknown>>()
  /** For each space whose rows are about to be others: ends when they are. */
  readonly #shut = new Map<SpaceId, Promise<unknown>>()

  constructor(options: LocalSpacesOptions) {
    this.#options = options
  }

  list(): Promise<readonly SpaceId[]> {
    return listSpaces(this.#options.store)
  }

  async has(space: SpaceId): Promise<boolean> {
    return (await this.list()).includes(space)
  }

  /** The one that is open, or a new one. @throws SealogError ERR_UNKNOWN_SPACE, ERR_STORE…, ERR_CLOSED */
  async open(space: SpaceId): Promise<Space> {
    for (;;) {
      // Nothing may come between the last look and `#open.set`, or `whileClosed` would not see what begins here.
      for (let shut = this.#shut.get(space); shut !== undefined; shut = this.#shut.get(space)) await shut
      this.#options.assertOpen()
      const opening = this.#open.get(space) ?? this.#begin(space)
      this.#open.set(space, opening)
      const forget = (): void => {
        if (this.#open.get(space) === opening) this.#open.delete(space)
      }
      opening.catch(forget)
      const open = await opening
      if (!open.isClosed) return open
      // It is closing: a new one begins where that one has ended. How it ended, its closer is told.
      await open.close().catch(() => {})
      forget()
    }
  }

  async #begin(id: SpaceId): Promise<Space> {
    const { client: connect, onOpened, ...options } = this.#options
    const { secrets, view } = await loadIdentity(options.store, id)
    const client = await connect(secrets.url, view.relay, !isAdmitted(secrets))
    const onClosed = (): void => void this.#open.delete(id)
    const space = await Space.open({ ...options, id, client, onClosed })
    onOpened(space)
    return space
  }

  /** Keeps a space that was not here. @throws SealogError ERR_STORE… */
  async keep(view: LogView, secrets: SpaceSecrets): Promise<void> {
    const { space } = view
    await this.#options.store.commit({
      puts: [
        [spaceKey(space, 'secrets'), encodeSecrets(secrets)],
        [spaceKey(space, 'view'), encodeViewRow(view, undefined)],
        [listedKey(space), new Uint8Array(0)],
      ],
      deletes: [],
    })
  }

  /** Forgets a space, keys, documents and all. @throws SealogError ERR_STORE… */
  async remove(space: SpaceId): Promise<void> {
    await this.abandon(space)
    await this.whileClosed(space, async () => {
      const { store } = this.#options
      const rows = await store.scan(spacePrefix(space))
      await store.commit({ puts: [], deletes: [listedKey(space), ...rows.map(([key]) => key)] })
    })
  }

  /**
   * Closes a space, where it is open, and runs `task` before anybody can open it again, on rows that are nobody else's.
   * @throws SealogError ERR_STORE… where own changes could not be stored; then `task` did not run
   */
  async whileClosed<T>(space: SpaceId, task: () => Promise<T>): Promise<T> {
    const open = this.#open.get(space)
    const result = (async () => {
      await (await open?.catch(() => undefined))?.close()
      return task()
    })()
    const ended = result.catch(() => {})
    this.#shut.set(space, ended)
    await ended
    if (this.#shut.get(space) === ended) this.#shut.delete(space)
    return result
  }

  /** Closes a space that is about to go: what it could not store goes with the rest. */
  async abandon(space: SpaceId): Promise<void> {
    const open = await this.#open.get(space)?.catch(() => undefined)
    await open?.close().catch(() => {})
  }

  /** Tasks about one space, one after the other: two that join it at once must not write over each other. */
  inTurn<T>(space: SpaceId, task: () => Promise<T>): Promise<T> {
    const before = this.#turns.get(space) ?? Promise.resolve()
    const result = before.then(task)
    const turn = result
      .catch(() => {})
      .then(() => {
        if (this.#turns.get(space) === turn) this.#turns.delete(space)
      })
    this.#turns.set(space, turn)
    return result
  }

  /** A connection went up or down. */
  connectionChanged(client: RelayClient, cause: SealogError | undefined): void {
    for (const opening of this.#open.values()) {
      void opening.then(
        space => space.connectionChanged(client, cause),
        () => {},
      )
    }
  }

  /** Another replica of this device was told this by the relay. */
  heard(id: SpaceId, note: Uint8Array): void {
    void this.#open.get(id)?.then(
      space => space.heard(note),
      () => {},
    )
  }

  /** Closes all that are open. @returns how each of them ended */
  async close(): Promise<readonly PromiseSettledResult<void>[]> {
    const spaces = await Promise.allSettled(this.#open.values())
    return Promise.allSettled(
      spaces.map(async result => (result.status === 'fulfilled' ? result.value.close() : undefined)),
    )
  }
}
