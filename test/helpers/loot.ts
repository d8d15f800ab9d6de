import { toHex } from '../../src/bytes.ts'
import { decodeInviteLink, inviteKeys, inviteNameKey } from '../../src/crdt/invite-link.ts'
import { namesSecretOf, readSecretOf } from '../../src/crypto/commitments.ts'
import { deriveEpoch, openLink } from '../../src/crypto/epoch.ts'
import { openGrant } from '../../src/crypto/grant.ts'
import { ZERO_32 } from '../../src/crypto/hash.ts'
import { documentKey, openBody, openLabel } from '../../src/crypto/keyring.ts'
import { openWrap } from '../../src/crypto/wrap.ts'
import { SealogError } from '../../src/errors.ts'
import { type DocumentId, idBytes, type SpaceId } from '../../src/ids.ts'
import type { ControlBody, Delivery } from '../../src/verify/control.ts'
import { decodeControlBody } from '../../src/verify/control-codec.ts'
import { decodeHeader, type Header, headerContext } from '../../src/verify/entry.ts'
import type { StoredMember } from './hostile-member.ts'
import type { World } from './world.ts'

interface LootedEntry {
  readonly index: number
  readonly document: DocumentId
  readonly isControl: boolean
  readonly header: Header
  readonly body: Uint8Array
  /** In clear, as all of them are. */
  readonly control: ControlBody | undefined
  /** What it delivered beside the log. */
  readonly wraps: readonly { readonly device: number; readonly wrap: Uint8Array }[]
}

/** Everything of a space that a relay keeps. */
export interface Loot {
  readonly space: SpaceId
  readonly entries: readonly LootedEntry[]
}

export async function relayLoot({ relayStore }: World, space: SpaceId): Promise<Loot> {
  const range = { from: 0, to: Number.MAX_SAFE_INTEGER, inlineLength: 1e9, maxBytes: 1e9 }
  const stored = await relayStore.readEntries(space, range)
  const entries = await Promise.all(
    stored.map(async (entry, index): Promise<LootedEntry> => {
      const { document, isControl, body = new Uint8Array(0) } = entry
      const wraps = await relayStore.readWraps(space, index)
      const control = isControl ? decodeControlBody(body) : undefined
      return { index, document, isControl, header: decodeHeader(entry.header), body, control, wraps }
    }),
  )
  return { space, entries }
}

/** Secrets that somebody brings along, without a thought for what they are meant for. */
export interface Thief {
  /** X-Wing seeds. */
  readonly seeds: readonly Uint8Array[]
  /** 32 bytes each. */
  readonly secrets: readonly Uint8Array[]
}

/** @param link of an invite that the thief has as well */
export function thiefOf({ secrets: { device, epochs } }: StoredMember, link?: string): Thief {
  const seed = link === undefined ? undefined : decodeInviteLink(link).seed
  return {
    seeds: [device.kem, ...(seed === undefined ? [] : [inviteKeys(seed).kem])],
    secrets: [
      ...[...epochs.values()].map(({ secret }) => secret),
      ...(seed === undefined ? [] : [inviteNameKey(seed)]),
    ],
  }
}

/** Places in the log of what opened. */
export interface Opened {
  readonly content: ReadonlySet<number>
  /** Control entries with a name in them. */
  readonly names: ReadonlySet<number>
}

/** Tries every secret, and whatever it leads to, on everything, by every use that the formats have for one. */
export function plunder({ space, entries }: Loot, thieves: readonly Thief[]): Opened {
  const pool = new Map<string, Uint8Array>()
  const found = (secret: Uint8Array | undefined): void => void (secret && pool.set(toHex(secret), secret))
  for (const { secrets } of thieves) for (const secret of secrets) found(secret)
  const seeds = thieves.flatMap(thief => thief.seeds)
  for (const entry of entries) for (const seed of seeds) unwrapAll(idBytes(space), entry, seed).forEach(found)
  for (let before = -1; before !== pool.size; ) {
    before = pool.size
    for (const secret of [...pool.values()]) {
      // It may be an S, an R or an N: S leads to R, and R to N.
      const read = readSecretOf(secret)
      linksFrom(idBytes(space), entries, [secret, namesSecretOf(secret), namesSecretOf(read)]).forEach(found)
    }
  }
  const reads = [...pool.values()].flatMap(secret => [secret, readSecretOf(secret)])
  const names = reads.flatMap(secret => [secret, namesSecretOf(secret)])
  return {
    content: new Set(
      entries.filter(entry => !entry.isControl && opens(entry, [...reads, ...names])).map(({ index }) => index),
    ),
    names: new Set(entries.filter(entry => entry.control && opensName(entry.control, names)).map(({ index }) => index)),
  }
}

function unwrapAll(space: Uint8Array, entry: LootedEntry, seed: Uint8Array): Uint8Array[] {
  const { control, wraps, header, index } = entry
  const secrets: (Uint8Array | undefined)[] = []
  const epoch =
    control?.type === 'rotate' ? header.epoch + 1 : control?.type === 'repair' ? control.epoch : header.epoch
  for (const payloadKind of [0, 1] as const) {
    for (const { device, wrap } of wraps)
      secrets.push(attempt(() => openWrap({ space, epoch, device, payloadKind, seed, wrap })))
    if (control !== undefined && 'wrap' in control) {
      const at = index === 0 ? ZERO_32 : space
      secrets.push(
        attempt(() => openWrap({ space: at, epoch, device: undefined, payloadKind, seed, wrap: control.wrap })),
      )
    }
  }
  if (control?.type === 'grant') {
    const { device, from, sealed } = control
    secrets.push(...(attempt(() => openGrant({ space, device, from, seed, sealed })) ?? []))
  }
  return secrets.filter(secret => secret !== undefined)
}

function linksFrom(space: Uint8Array, entries: readonly LootedEntry[], keys: readonly Uint8Array[]): Uint8Array[] {
  const found: (Uint8Array | undefined)[] = []
  for (const { control, header } of entries) {
    if (control?.type !== 'rotate' && control?.type !== 'repair') continue
    const epoch = control.type === 'rotate' ? header.epoch + 1 : control.epoch
    const { target, link, namesLink }: Delivery = control.delivery
    if (target >= epoch) continue
    for (const key of keys) {
      for (const each of [key, deriveEpoch(key).historySecret]) {
        found.push(attempt(() => openLink('history', { space, epoch, target, key: each, link })))
        found.push(attempt(() => openLink('names', { space, epoch, target, key: each, link: namesLink })))
      }
    }
  }
  return found.filter(secret => secret !== undefined)
}

function opens({ header, body, document }: LootedEntry, secrets: readonly Uint8Array[]): boolean {
  const { bodyHash, bodyLength, ...context } = header
  const aad = headerContext(context)
  for (const readSecret of secrets) {
    for (const birthReadSecret of secrets) {
      const key = documentKey({ readSecret, birthReadSecret, document: idBytes(document) })
      if (attempt(() => openBody({ key, body, aad })) !== undefined) return true
    }
  }
  return false
}

function opensName(control: ControlBody, secrets: readonly Uint8Array[]): boolean {
  const sealed = [
    'spaceName' in control ? control.spaceName : undefined,
    'memberName' in control ? control.memberName : undefined,
    'deviceName' in control ? control.deviceName : undefined,
    'name' in control ? control.name : undefined,
  ].filter(name => name !== undefined)
  return sealed.some(name =>
    secrets.some(secret =>
      ['space', 'member', 'device'].some(
        context => attempt(() => openLabel({ secret, context, sealed: name })) !== undefined,
      ),
    ),
  )
}

function attempt<T>(open: () => T): T | undefined {
  try {
    return open()
  } catch (error) {
    if (error instanceof SealogError) return undefined
    throw error
  }
}
