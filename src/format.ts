import { asArray, asBytes, asBytesUpTo, asOptional, asText, asTuple, asUint, type Cbor, optional } from './codec.ts'
import {
  type ActorId,
  actorIdOf,
  type DocumentId,
  documentIdOf,
  idBytes,
  type MemberId,
  memberIdOf,
  type SpaceId,
  spaceIdOf,
} from './ids.ts'

/**
 * How one kind of value is written as a CBOR item and read back: both directions in one place, with the limit of what
 * is accepted beside the field that it is for. Readers throw ERR_MALFORMED for another type or a wrong fixed length or
 * number, and ERR_LIMIT for what is too long.
 */
export interface Format<T> {
  readonly write: (value: T) => Cbor
  /** @param what names the value in errors */
  readonly read: (item: Cbor | undefined, what: string) => T
}

/** The same of an array of fixed arity, so that others can be put in front of its fields. */
export interface RecordFormat<T> {
  readonly write: (value: T) => readonly Cbor[]
  readonly read: (item: Cbor | undefined, what: string) => T
}

/** An integer 0 … 2⁵³−1. */
export const uint: Format<number> = uintUpTo(Number.MAX_SAFE_INTEGER)
/** 0 or 1. */
export const flag: Format<boolean> = converted(uintUpTo(1), Number, Boolean)
export const spaceId: Format<SpaceId> = converted(bytesOf(32), idBytes, spaceIdOf)
export const documentId: Format<DocumentId> = converted(bytesOf(16), idBytes, documentIdOf)
export const actorId: Format<ActorId> = converted(bytesOf(16), idBytes, actorIdOf)
export const memberId: Format<MemberId> = converted(bytesOf(16), idBytes, memberIdOf)

export function uintUpTo(max: number): Format<number> {
  return { write: value => value, read: (item, what) => asUint(item, what, max) }
}

/** Exactly so many bytes. */
export function bytesOf(length: number): Format<Uint8Array> {
  return { write: bytes => bytes, read: (item, what) => asBytes(item, length, what) }
}

/** @param limit in bytes */
export function bytesUpTo(limit: number): Format<Uint8Array> {
  return { write: bytes => bytes, read: (item, what) => asBytesUpTo(item, limit, what) }
}

/** @param limit in UTF-16 units */
export function textUpTo(limit: number): Format<string> {
  return { write: text => text, read: (item, what) => asText(item, limit, what) }
}

/** One of a few words, as its place in their list. */
export function oneOf<const Word extends string>(words: readonly Word[]): Format<Word> {
  return {
    write: word => words.indexOf(word),
    read: (item, what) => words[asUint(item, what, words.length - 1)] as Word,
  }
}

/** An array of at most so many. */
export function listOf<T>(limit: number, format: Format<T>): Format<readonly T[]> {
  return {
    write: values => values.map(format.write),
    read: (item, what) => asArray(item, limit, what).map(each => format.read(each, what)),
  }
}

/** None or one, as `[]` or `[item]`. */
export function maybe<T>(format: Format<T>): Format<T | undefined> {
  return { write: value => optional(value, format.write), read: (item, what) => asOptional(item, what, format.read) }
}

/** A value that is written as another one. */
export function converted<T, Written>(
  format: Format<Written>,
  to: (value: T) => Written,
  from: (written: Written) => T,
): Format<T> {
  return { write: value => format.write(to(value)), read: (item, what) => from(format.read(item, what)) }
}

/** A format for each property. Their order here is their order in bytes. */
export type Fields<T> = { readonly [Key in keyof T]-?: Format<T[Key]> }

/** An object, as the array of its properties in the order in which they are named here. */
export function record<T extends object>(fields: Fields<T>): RecordFormat<T> {
  const names = Object.keys(fields) as (keyof T & string)[]
  return {
    write: value => names.map(name => fields[name].write(value[name])),
    read: (item, what) => {
      const items = asTuple(item, names.length, what)
      const value: Partial<T> = {}
      // A loop, as batches of thousands of entries are read through it.
      for (let at = 0; at < names.length; at++) {
        const name = names[at] as keyof T & string
        value[name] = fields[name].read(items[at], name)
      }
      return value as T
    },
  }
}
