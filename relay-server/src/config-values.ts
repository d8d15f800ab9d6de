import { join } from 'node:path'

/** How the value of a setting is written as text; what JSON has in its place is made text first. */
export interface ValueKind<T> {
  /** What stands for a value in the usage; nothing for a switch. */
  readonly placeholder: string
  /** @throws TypeError that says what is expected, and never what was found: it may be a secret */
  readonly parse: (text: string) => T
}

export interface HostPort {
  readonly host: string
  readonly port: number
}

/** Where the logs of a relay are kept. */
export type StorePlace =
  | { readonly kind: 'sqlite'; readonly file: string }
  | { readonly kind: 'postgres'; readonly url: string }

const POSTGRES = /^postgres(ql)?:\/\//

/** @param placeholder as in the usage */
export function text(placeholder: string): ValueKind<string> {
  return {
    placeholder,
    parse(value) {
      if (value === '' || /\p{Control}/u.test(value)) throw new TypeError('expected text in one line')
      return value
    },
  }
}

/** @param values one of them */
export function choice<T extends string>(...values: readonly T[]): ValueKind<T> {
  return {
    placeholder: values.join('|'),
    parse(value) {
      const found = values.find(each => each === value)
      if (found === undefined) throw new TypeError(`expected ${values.join(' or ')}`)
      return found
    },
  }
}

/** A whole number from `least` on. */
export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): ValueKind<number> {
  const bounds = most === Number.MAX_SAFE_INTEGER ? `${least} or more` : `from ${least} to ${most}`
  return {
    placeholder: 'N',
    parse(value) {
      const number = Number(value)
      const isNumber = /^[0-9]{1,16}$/.test(value) && number >= least && number <= most
      if (!isNumber) throw new TypeError(`expected a number ${bounds}`)
      return number
    },
  }
}

export const port: ValueKind<number> = wholeNumber(0, 65_535)

/** On where it is named; in a file or the environment `true` or `false`. */
export const onOff: ValueKind<boolean> = {
  placeholder: '',
  parse(value) {
    if (value !== 'true' && value !== 'false') throw new TypeError('expected true or false')
    return value === 'true'
  },
}

/** `HOST:PORT`, `[HOST]:PORT` for an IPv6 address, or a port of this machine alone. */
export const hostPort: ValueKind<HostPort> = {
  placeholder: '[HOST:]PORT',
  parse(value) {
    const match = /^(?:(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]]+)):)?([0-9]{1,5})$/.exec(value)
    const number = Number(match?.[3])
    if (match === null || number > 65_535) throw new TypeError('expected HOST:PORT or PORT')
    return { host: match[1] ?? match[2] ?? '127.0.0.1', port: number }
  },
}

/** Words between commas or white space. */
export const words: ValueKind<readonly string[]> = {
  placeholder: 'A,B,…',
  parse(value) {
    const found = value.split(/[\s,]+/).filter(word => word !== '')
    if (found.length === 0) throw new TypeError('expected at least one, separated by commas')
    return found
  },
}

export const httpUrl: ValueKind<string> = {
  placeholder: 'URL',
  parse(value) {
    const isUrl = URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)
    if (!isUrl) throw new TypeError('expected an http:// or https:// address')
    return value
  },
}

/** `sqlite:PATH`, a folder or, where it ends in `.db`, a file; or the URL of a PostgreSQL database. */
export const storePlace: ValueKind<StorePlace> = {
  placeholder: 'sqlite:PATH|postgres://…',
  parse(value) {
    if (POSTGRES.test(value)) return { kind: 'postgres', url: postgresUrl(value) }
    const path = /^sqlite:(.+)$/.exec(value)?.[1]
    if (path === undefined || path.includes('\0')) throw new TypeError('expected sqlite:PATH or postgres://…')
    return { kind: 'sqlite', file: path.endsWith('.db') ? path : join(path, 'relay.db') }
  },
}

/** A file for SQLite, a URL for PostgreSQL. */
export const headsPlace: ValueKind<string> = {
  placeholder: 'FILE|postgres://…',
  parse(value) {
    if (POSTGRES.test(value)) return postgresUrl(value)
    // What was meant for a URL is no name of a file: with a password in it, it would stand in every message.
    if (/^[a-z][a-z0-9+.-]+:/i.test(value)) throw new TypeError('expected a file, or postgres://…')
    return text('').parse(value)
  },
}

export function isPostgresUrl(place: string): boolean {
  return POSTGRES.test(place)
}

function postgresUrl(value: string): string {
  if (!URL.canParse(value)) throw new TypeError('expected a URL as postgres://user@host/database')
  return value
}

/** A place as it may be shown: of a URL without user, password and options. */
export function shownPlace(place: string): string {
  if (!POSTGRES.test(place)) return place
  const { protocol, host, pathname } = new URL(place)
  return `${protocol}//${host}${pathname}`
}
