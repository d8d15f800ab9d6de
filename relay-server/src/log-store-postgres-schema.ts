import { SealogError } from 'sealog/protocol'
import type { PostgresDatabase, Run } from './log-store-postgres-database.ts'
import { headDigest } from './log-store-postgres-head-digest.ts'

/** What a schema is for: the logs, or what the relay signed. */
export type SchemaPart = 'logs' | 'heads'

/**
 * The steps from an empty schema to that of this version, in order and never changed: what comes later is another step.
 * `$` stands for the quoted name of the schema.
 *
 * Spaces have short numbers, as their ids would stand in every row. Bodies are ciphertext: nothing is gained by
 * compressing them, and so parts of long ones are read without the rest.
 */
const MIGRATIONS: Readonly<Record<SchemaPart, readonly (readonly string[])[]>> = {
  logs: [
    [
      `CREATE TABLE $.identity (
        only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
        name text NOT NULL,
        key bytea NOT NULL
      )`,
      // Rewritten by every append: with room in its page the row stays there, and the index as it is.
      `CREATE TABLE $.spaces (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        id bytea NOT NULL UNIQUE,
        size bigint NOT NULL,
        frontier bytea NOT NULL,
        bytes bigint NOT NULL,
        floor bigint NOT NULL
      ) WITH (fillfactor = 50)`,
      `CREATE TABLE $.entries (
        space bigint NOT NULL,
        place bigint NOT NULL,
        header bytea NOT NULL,
        hash bytea NOT NULL,
        signature bytea NOT NULL,
        document bytea NOT NULL,
        actor bytea NOT NULL,
        seq bigint NOT NULL,
        is_control boolean NOT NULL,
        is_snapshot boolean NOT NULL,
        seen_size bigint NOT NULL,
        body_length bigint NOT NULL,
        replaced bytea NOT NULL,
        body bytea,
        PRIMARY KEY (space, place)
      )`,
      'ALTER TABLE $.entries ALTER body SET STORAGE EXTERNAL',
      // Whatever the statistics say, the entries of a document and of an actor are found by their own indexes.
      'ALTER TABLE $.entries ALTER document SET (n_distinct = -1), ALTER actor SET (n_distinct = -1)',
      'CREATE INDEX entries_of_control ON $.entries (space, place) WHERE is_control',
      'CREATE INDEX entries_of_documents ON $.entries (space, document, place)',
      'CREATE INDEX entries_of_actors ON $.entries (space, actor, seq)',
      `CREATE TABLE $.nodes (
        space bigint NOT NULL,
        level bigint NOT NULL,
        place bigint NOT NULL,
        hash bytea NOT NULL,
        PRIMARY KEY (space, level, place)
      )`,
      `CREATE TABLE $.control_rows (
        space bigint NOT NULL,
        name text NOT NULL,
        value bytea NOT NULL,
        PRIMARY KEY (space, name)
      ) WITH (fillfactor = 80)`,
      `CREATE TABLE $.documents (
        space bigint NOT NULL,
        document bytea NOT NULL,
        value bytea NOT NULL,
        PRIMARY KEY (space, document)
      ) WITH (fillfactor = 80)`,
      `CREATE TABLE $.actors (
        space bigint NOT NULL,
        document bytea NOT NULL,
        actor bytea NOT NULL,
        value bytea NOT NULL,
        PRIMARY KEY (space, document, actor)
      ) WITH (fillfactor = 80)`,
      `CREATE TABLE $.cosigned (
        space bigint NOT NULL,
        size bigint NOT NULL,
        note bytea NOT NULL,
        PRIMARY KEY (space, size)
      )`,
      `CREATE TABLE $.wraps (
        space bigint NOT NULL,
        place bigint NOT NULL,
        position bigint NOT NULL,
        device bigint NOT NULL,
        wrap bytea NOT NULL,
        PRIMARY KEY (space, place, position)
      )`,
      'CREATE UNIQUE INDEX wraps_of_devices ON $.wraps (space, device, place)',
      `CREATE TABLE $.mailboxes (
        address bytea PRIMARY KEY,
        counter bigint NOT NULL,
        bytes bytea NOT NULL,
        signature bytea NOT NULL
      )`,
    ],
    ['ALTER TABLE $.spaces ADD COLUMN base bytea'],
  ],
  heads: [
    [
      `CREATE TABLE $.identity (
        only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
        name text NOT NULL,
        key bytea NOT NULL
      )`,
      `CREATE TABLE $.heads (
        space bytea PRIMARY KEY,
        size bigint NOT NULL,
        time bigint NOT NULL,
        note bytea NOT NULL,
        latest bigint NOT NULL,
        abandoned bigint NOT NULL DEFAULT 0
      ) WITH (fillfactor = 50)`,
    ],
    // Without a default: a process of an older version, which knows of no checksum, writes no head any more.
    [
      'ALTER TABLE $.heads ADD COLUMN checksum bytea',
      `UPDATE $.heads SET checksum = ${headDigest('heads')}`,
      'ALTER TABLE $.heads ALTER COLUMN checksum SET NOT NULL',
    ],
  ],
}

/** The tables of a schema, the one of its migrations left out. */
export const TABLES: Readonly<Record<SchemaPart, readonly string[]>> = {
  logs: [
    'identity',
    'spaces',
    'entries',
    'nodes',
    'control_rows',
    'documents',
    'actors',
    'cosigned',
    'wraps',
    'mailboxes',
  ],
  heads: ['identity', 'heads'],
}

/** Such names need no quotes in SQL, and leave room for what is appended to them. @throws TypeError */
export function assertSchemaName(name: string): void {
  if (typeof name !== 'string' || !/^[a-z_][a-z0-9_]{0,47}$/.test(name) || name.startsWith('pg_')) {
    throw new TypeError('schema: expected 1 to 48 of a–z, 0–9 and _, neither a digit first nor pg_')
  }
}

/**
 * Brings a schema to this version: makes it where it is not there, takes the missing steps where it is older. However
 * many processes start at once, one does it and the others wait. A schema that is not ours is refused and left as it is.
 * @param name an accepted name of a schema
 * @param readOnly nothing is made, so an older schema is refused as well
 * @throws SealogError ERR_STORE_SCHEMA, ERR_STORE_CORRUPT
 */
export async function prepareSchema(
  db: PostgresDatabase,
  name: string,
  part: SchemaPart,
  readOnly: boolean,
): Promise<void> {
  const steps = MIGRATIONS[part]
  await db.transaction(async run => {
    if (!readOnly) await run('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`sealog ${name}`])
    const version = await versionOf(run, name, part)
    if (version === steps.length) return assertTables(run, name, part)
    if (version > steps.length || readOnly) {
      throw new SealogError(
        'ERR_STORE_SCHEMA',
        `the schema ${name} has version ${version}, this program reads ${steps.length} only`,
      )
    }
    if (!(await hasSchema(run, name))) await run(`CREATE SCHEMA "${name}"`)
    if (version === 0) {
      await run(`CREATE TABLE "${name}".migrations (version integer PRIMARY KEY, part text NOT NULL)`)
    }
    for (const [i, statements] of steps.entries()) {
      if (i < version) continue
      await run(statements.join(';\n').replaceAll('$.', `"${name}".`))
      await run(`INSERT INTO "${name}".migrations (version, part) VALUES ($1, $2)`, [i + 1, part])
    }
  })
}

/** The last step that was taken; 0 where the schema is empty or not there. */
async function versionOf(run: Run, name: string, part: SchemaPart): Promise<number> {
  const tables = await tablesOf(run, name)
  if (tables.size === 0) return 0
  if (!tables.has('migrations')) {
    throw new SealogError('ERR_STORE_CORRUPT', `the schema ${name} holds tables of something else`)
  }
  const rows = await run<{ readonly version: number; readonly part: string }>(
    `SELECT version, part FROM "${name}".migrations ORDER BY version`,
  )
  if (rows.some(row => row.part !== part)) {
    throw new SealogError('ERR_STORE_CORRUPT', `the schema ${name} is not one for ${part}`)
  }
  return rows.at(-1)?.version ?? 0
}

async function assertTables(run: Run, name: string, part: SchemaPart): Promise<void> {
  const tables = await tablesOf(run, name)
  const missing = TABLES[part].filter(table => !tables.has(table))
  if (missing.length > 0) {
    throw new SealogError('ERR_STORE_CORRUPT', `the schema ${name} has no table ${missing.join(', ')}`)
  }
}

async function tablesOf(run: Run, name: string): Promise<ReadonlySet<string>> {
  const rows = await run<{ readonly name: string }>(
    `SELECT c.relname::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`,
    [name],
  )
  return new Set(rows.map(row => row.name))
}

/** `IF NOT EXISTS` would want the right to make one even where it is there. */
async function hasSchema(run: Run, name: string): Promise<boolean> {
  return (await run('SELECT 1 FROM pg_namespace WHERE nspname = $1', [name])).length > 0
}
