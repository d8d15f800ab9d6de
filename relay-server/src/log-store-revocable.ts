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
      open: () => during(async () => {}),
      readIdentity: () => during(() => inner.readIdentity()),
      writeIdentity: identity => during(() => inner.writeIdentity(identity)),
      readSpace: space => during(() => inner.readSpace(space)),
      append: append => during(() => inner.append(append)),
      putHead: (space, head) => during(() => inner.putHead(space, head)),
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
      close: () => during(async () => {}),
    },
    revoke() {
      isRevoked = true
    },
  }
}
