import type { Database } from 'better-sqlite3'
import { equalBytes, SealogError } from 'sealog/protocol'
import type { StoredIdentity } from './log-store.ts'
import { plain } from './log-store-sqlite-rows.ts'

export function readIdentity(db: Database): StoredIdentity | undefined {
  const row = db.prepare<[], StoredIdentity>('SELECT name, key FROM identity').get()
  return row && { name: row.name, key: plain(row.key) }
}

/** Once; again only the same. */
export function writeIdentity(db: Database, identity: StoredIdentity): void {
  const { changes } = db
    .prepare('INSERT INTO identity (only, name, key) VALUES (1, ?, ?) ON CONFLICT DO NOTHING')
    .run(identity.name, identity.key)
  if (changes === 0) assertSameRelay(readIdentity(db), identity)
}

/** @throws SealogError ERR_STORE_CORRUPT */
export function assertSameRelay(heads: StoredIdentity | undefined, identity: StoredIdentity): void {
  if (heads === undefined || (heads.name === identity.name && equalBytes(heads.key, identity.key))) return
  throw new SealogError('ERR_STORE_CORRUPT', `the signed heads are those of another relay, ${heads.name}`, {
    details: { reason: 'other-heads' },
  })
}
