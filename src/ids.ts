import { fromHex, toHex } from './bytes.ts'

/** A lower-case hex string that names one kind of thing: a 32-byte space id, a 16-byte document or actor id, … */
type Id<Kind extends string> = string & { readonly __kind: Kind }

/** 32 bytes in hex: the leaf hash of the genesis header. */
export type SpaceId = Id<'space'>
/** 16 bytes in hex. */
export type DocumentId = Id<'document'>
/** 16 bytes in hex: an Automerge actor id that is bound to a device and a document. */
export type ActorId = Id<'actor'>
/** 16 bytes in hex: one person in a space, over all devices of that person. */
export type MemberId = Id<'member'>

/** The document id of control entries. */
export const CONTROL_DOCUMENT: DocumentId = '0'.repeat(32) as DocumentId
/** The Automerge map document id → name, type, created, archived. */
export const DIRECTORY_DOCUMENT: DocumentId = `${'0'.repeat(31)}1` as DocumentId

export function spaceIdOf(bytes: Uint8Array): SpaceId {
  return toHex(bytes) as SpaceId
}

export function documentIdOf(bytes: Uint8Array): DocumentId {
  return toHex(bytes) as DocumentId
}

export function actorIdOf(bytes: Uint8Array): ActorId {
  return toHex(bytes) as ActorId
}

export function memberIdOf(bytes: Uint8Array): MemberId {
  return toHex(bytes) as MemberId
}

/** @throws TypeError */
export function parseSpaceId(text: string): SpaceId {
  return parse(text, 64, 'space id') as SpaceId
}

/** @throws TypeError */
export function parseDocumentId(text: string): DocumentId {
  return parse(text, 32, 'document id') as DocumentId
}

export function idBytes(id: SpaceId | DocumentId | ActorId | MemberId): Uint8Array {
  return fromHex(id)
}

function parse(text: string, digits: number, what: string): string {
  if (typeof text !== 'string' || text.length !== digits || !/^[0-9a-f]*$/.test(text)) {
    throw new TypeError(`${what}: expected ${digits} lower-case hex digits`)
  }
  return text
}
