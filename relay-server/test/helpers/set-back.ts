import type { SpaceId } from 'sealog/protocol'
import type { Append, LogStore, StoredHead } from '../../src/log-store.ts'

/** A store that can be replaced by an older copy of itself, as from a backup, while the relay is stopped. */
export interface SetBackStore extends LogStore {
  /** @param keepHead the latest signed head is still there, though not the entries that it is about */
  setBack(space: SpaceId, size: number, keepHead?: boolean): Promise<void>
}

type Step = { readonly append: Append } | { readonly space: SpaceId; readonly head: StoredHead }

/** @param fresh makes an empty store */
export function setBackStore(fresh: () => LogStore): SetBackStore {
  let current = fresh()
  let steps: Step[] = []
  return {
    isShared: current.isShared,
    open: () => current.open(),
    readIdentity: () => current.readIdentity(),
    writeIdentity: identity => current.writeIdentity(identity),
    readSpace: space => current.readSpace(space),
    readSize: space => current.readSize(space),
    readSpaces: (after, limit) => current.readSpaces(after, limit),
    async append(append) {
      await current.append(append)
      steps.push({ append })
    },
    undoAppend: undo => current.undoAppend(undo),
    putFloor: (space, size) => current.putFloor(space, size),
    readHead: space => current.readHead(space),
    async putHead(space, head) {
      await current.putHead(space, head)
      steps.push({ space, head })
    },
    raiseHead: (space, head) => current.raiseHead(space, head),
    acceptRollback: space => current.acceptRollback(space),
    announce: space => current.announce(space),
    onGrown: listener => current.onGrown(listener),
    readChoice: (...args) => current.readChoice(...args),
    putCosigned: (...args) => current.putCosigned(...args),
    readCosigned: space => current.readCosigned(space),
    readEntries: (...args) => current.readEntries(...args),
    readNodes: (...args) => current.readNodes(...args),
    readBody: (...args) => current.readBody(...args),
    readWrap: (...args) => current.readWrap(...args),
    readWraps: (...args) => current.readWraps(...args),
    putMailbox: (...args) => current.putMailbox(...args),
    readMailbox: address => current.readMailbox(address),
    readMailboxes: (...args) => current.readMailboxes(...args),
    inspect: limit => current.inspect(limit),
    discard: (...args) => current.discard(...args),
    removeSpace: space => current.removeSpace(space),
    compact: () => current.compact(),
    close: () => current.close(),
    async setBack(space, size, keepHead = false) {
      const head = await current.readHead(space)
      await current.close()
      current = fresh()
      await current.open()
      const past = steps
      steps = []
      for (const step of past) {
        if ('append' in step && step.append.from + step.append.entries.length > size) break
        if ('append' in step) await current.append(step.append)
        else await current.putHead(step.space, step.head)
        steps.push(step)
      }
      if (keepHead && head !== undefined) await current.raiseHead(space, head)
    },
  }
}
