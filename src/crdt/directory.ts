import { type DocumentId, parseDocumentId } from '../ids.ts'

/** What the directory says about a document. */
export interface DocumentInfo {
  readonly id: DocumentId
  readonly name: string
  /** What kind of document the application says it is. */
  readonly type: string
  /** Unix time in milliseconds, by the creator's clock. */
  readonly created: number
  readonly archived: boolean
}

/** The directory document: an Automerge map document id → entry. Written by members, so read with suspicion. */
type Directory = Record<string, unknown>

export function addToDirectory(directory: Directory, info: DocumentInfo): void {
  directory[info.id] = { name: info.name, type: info.type, created: info.created, archived: info.archived }
}

export function archiveInDirectory(directory: Directory, id: DocumentId, archived: boolean): void {
  const entry = directory[id]
  if (isRecord(entry)) entry.archived = archived
}

/** All entries, the oldest first: in the same order on every device. */
export function readDirectory(directory: Readonly<Directory>): readonly DocumentInfo[] {
  const infos = Object.keys(directory).flatMap(key => {
    const info = readEntry(directory, key)
    return info === undefined ? [] : [info]
  })
  return infos.sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1))
}

export function findInDirectory(directory: Readonly<Directory>, id: DocumentId): DocumentInfo | undefined {
  return Object.hasOwn(directory, id) ? readEntry(directory, id) : undefined
}

/** Whatever a hostile member wrote there: what is not an entry is left out. */
function readEntry(directory: Readonly<Directory>, key: string): DocumentInfo | undefined {
  const entry = directory[key]
  if (!isRecord(entry)) return undefined
  const { name, type, created, archived } = entry
  try {
    return {
      id: parseDocumentId(key),
      name: typeof name === 'string' ? name : '',
      type: typeof type === 'string' ? type : '',
      created: typeof created === 'number' && Number.isFinite(created) ? created : 0,
      archived: archived === true,
    }
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
