import {
  type ControlState,
  type Cosigner,
  cosignaturesIn,
  cosignerName,
  currentMember,
  encodeNote,
  isMemberDevice,
  type MemberId,
  type Note,
  type NoteSignature,
  roleNumber,
  type SpaceId,
} from 'sealog/protocol'

/** The devices whose cosignature counts: admitted, joined, and not removed since. */
export function currentCosigners(control: ControlState): readonly (Cosigner & { member: MemberId })[] {
  return [...control.devices.values()]
    .filter(device => isMemberDevice(device) && currentMember(control, device.member) !== undefined)
    .map(({ number, signing, member }) => ({ number, publicKey: signing, member }))
}

/** A note with its cosignatures: the lines of current devices, all verified when they came in, the latest last. */
export interface Attested {
  readonly note: Note
  /** The relay's own line. */
  readonly own: NoteSignature
  readonly lines: readonly { readonly device: number; readonly member: MemberId; readonly line: NoteSignature }[]
}

/** What is still worth something of a note that `encodeAttested` has made. */
export function attestedIn(note: Note, space: SpaceId, control: ControlState): Attested {
  const [own] = note.signatures
  if (own === undefined) throw new TypeError('note: expected signatures')
  const lines = currentCosigners(control).flatMap(cosigner => {
    const [claimed] = cosignaturesIn(note, space, [cosigner])
    const index = note.signatures.findIndex(line => line.name === cosignerName(space, cosigner.number))
    const line = note.signatures[index]
    if (claimed === undefined || line === undefined) return []
    return [{ index, device: cosigner.number, member: cosigner.member, line }]
  })
  return { note, own, lines: lines.sort((a, b) => a.index - b.index) }
}

/** The note with the relay's own signature first, and these cosignatures. */
export function encodeAttested({ note, own, lines }: Attested): Uint8Array {
  return encodeNote(note.checkpoint, [own, ...lines.map(item => item.line)])
}

/**
 * Is this enough for the one who asks (DESIGN §5.4): as many distinct members other than itself, and an administrator
 * or another device of its own among them? The replica judges that itself, by the state that it has pinned; here it
 * decides which note is worth sending.
 */
export function isVouched(
  { lines }: Attested,
  control: ControlState,
  asking: { readonly device: number; readonly attestations: number },
): boolean {
  const member = control.devices.get(asking.device)?.member
  const others = new Set<MemberId>()
  let isBacked = false
  for (const { device, member: voucher } of lines) {
    if (device === asking.device) continue
    if (voucher !== member) others.add(voucher)
    const role = currentMember(control, voucher)?.role
    isBacked ||= voucher === member || (role !== undefined && roleNumber(role) >= roleNumber('admin'))
  }
  return isBacked && others.size >= asking.attestations
}
