import { fromBase64Url } from '../bytes.ts'
import { openLabel } from '../crypto/keyring.ts'
import { SealogError } from '../errors.ts'
import type { OpenInvite, SealedName } from '../verify/control-state.ts'
import type { SpaceKeys } from './epoch-secrets.ts'

/** What a name is of; a name of one thing does not open as that of another. */
export type NameKind = 'space' | 'member' | 'device' | 'invite'

/** The plain text of a name in the state; empty where it was not sealed as it should be, or its key is not here. */
export function openName(keys: SpaceKeys, kind: NameKind, name: SealedName | undefined): string {
  if (name === undefined) return ''
  return orEmpty(() => openLabel({ secret: keys.namesSecret(name.epoch), context: kind, sealed: name.sealed }))
}

/** How whoever asks to join calls himself and his device, by the key that the invite carries for members. */
export function openRequestNames(
  keys: SpaceKeys,
  { nameKey, requested }: Pick<OpenInvite, 'nameKey' | 'requested'>,
): { member: string; device: string } {
  const encoded = openName(keys, 'invite', nameKey)
  if (encoded === '' || requested === undefined) return { member: '', device: '' }
  const open = (context: NameKind, sealed: Uint8Array): string =>
    orEmpty(() => openLabel({ secret: fromBase64Url(encoded), context, sealed }))
  return { member: open('member', requested.memberName), device: open('device', requested.deviceName) }
}

function orEmpty(open: () => string): string {
  try {
    return open()
  } catch (error) {
    // What the author of a name sealed wrongly is his fault, and no reason to show nothing else.
    if (error instanceof SealogError || error instanceof TypeError) return ''
    throw error
  }
}
