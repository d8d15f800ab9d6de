import type { LogStore } from './log-store.ts'

/** A store as one incarnation of a relay sees it. */
export interface RevocableStore {
  readonly store: LogStore
  /** From now on no call has an effect, and none settles: for whoever made it, the process is dead. */
  revoke(): void
}

/** What is killed goes on running as JavaScript; this keeps it from doing anything that could be seen. */
export function revocableStore(inner: LogStore, opened: Promise<void>): RevocableStore {
  let isRevoked = false
  const never = new Promise<never>(() => {})

  async function during<T>(operation: () => Promise<T>): Promise<T> {
    await opened
    if (isRevoked) return never
    const result = await operation()
    return isRevoked ? never : result
  }

  return {
    store: {
      isShared: inner.isShared,
      open: () => during(async () => {}),
      readIdentity: () => during(() => inner.readIdentity()),
      writeIdentity: identity => during(() => inner.writeIdentity(identity)),
      readSpace: space => during(() => inner.readSpace(space)),
      readSize: space => during(() => inner.readSize(space)),
      readSpaces: (after, limit) => during(() => inner.readSpaces(after, limit)),
      append: append => during(() => inner.append(append)),
      undoAppend: undo => during(() => inner.undoAppend(undo)),
      putFloor: (space, size) => during(() => inner.putFloor(space, size)),
      readHead: space => during(() => inner.readHead(space)),
      putHead: (...args) => during(() => inner.putHead(...args)),
      raiseHead: (space, head) => during(() => inner.raiseHead(space, head)),
      acceptRollback: space => during(() => inner.acceptRollback(space)),
      announce: space => during(() => inner.announce(space)),
      onGrown: listener =>
        inner.onGrown(space => {
          if (!isRevoked) listener(space)
        }),
      readChoice: (...args) => during(() => inner.readChoice(...args)),
      putCosigned: (...args) => during(() => inner.putCosigned(...args)),
      readCosigned: space => during(() => inner.readCosigned(space)),
      readEntries: (space, range) => during(() => inner.readEntries(space, range)),
      readNodes: (space, places) => during(() => inner.readNodes(space, places)),
      readBody: (...args) => during(() => inner.readBody(...args)),
      readWrap: (...args) => during(() => inner.readWrap(...args)),
      readWraps: (...args) => during(() => inner.readWraps(...args)),
      putMailbox: (...args) => during(() => inner.putMailbox(...args)),
      readMailbox: address => during(() => inner.readMailbox(address)),
      readMailboxes: (...args) => during(() => inner.readMailboxes(...args)),
      inspect: limit => during(() => inner.inspect(limit)),
      discard: (...args) => during(() => inner.discard(...args)),
      removeSpace: space => during(() => inner.removeSpace(space)),
      compact: () => during(() => inner.compact()),
      close: () => during(async () => {}),
    },
    revoke() {
      isRevoked = true
    },
  }
}
