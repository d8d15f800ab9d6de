import { SealogError } from 'sealog/protocol'

/** How a process holds a store: beside others that do the same, or alone. */
export interface StoreLock {
  /** Names of the schemas that it is about, which are in one database. */
  readonly schemas: readonly string[]
  readonly isExclusive: boolean
}

/**
 * Takes the lock of a store on one connection, for as long as that lasts. Every connection that may write takes it
 * before its first statement, so there is no moment at which a process writes without: what is lost with a connection
 * is had again before the next one is used, or the next one is not to be had. Who holds the store alone has one
 * connection only, as a second one of its own would not get the lock either.
 *
 * Nobody waits for it: a relay that is kept out says so at once, and tries again with its next connection.
 * @throws SealogError ERR_STORE_LOCKED where others use a store that is wanted alone; ERR_STORE, with `details.reason`
 * `maintenance`, where somebody has it alone
 */
export async function takeStoreLock(
  query: (text: string, values: unknown[]) => Promise<{ readonly rows: readonly unknown[] }>,
  { schemas, isExclusive }: StoreLock,
): Promise<void> {
  const take = isExclusive ? 'pg_try_advisory_lock' : 'pg_try_advisory_lock_shared'
  // What is taken of several before one is refused goes with the connection, which nobody uses then.
  const { rows } = await query(
    `SELECT bool_and(${take}(hashtextextended('sealog use of ' || name, 0))) AS taken FROM unnest($1::text[]) AS name`,
    [schemas],
  )
  if ((rows[0] as { readonly taken: boolean }).taken) return
  if (isExclusive) {
    throw new SealogError(
      'ERR_STORE_LOCKED',
      'relays, or another command, use the store: stop them first, all that are on this database',
    )
  }
  throw new SealogError(
    'ERR_STORE',
    'a command of the operator, as restore or gc, works on the store: no relay may use it until that has ended',
    { details: { reason: 'maintenance' } },
  )
}
