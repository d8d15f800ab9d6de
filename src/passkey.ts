import { toUtf8 } from './bytes.ts'
import { platformEnvironment } from './environment-platform.ts'
import { SealogError } from './errors.ts'

export interface PasskeyOptions {
  /** The domain that the passkey is for: this page's or a parent of it. Default: this page's. */
  readonly rpId?: string
  /** Ends the dialogue with the user. */
  readonly signal?: AbortSignal
}

export interface NewPasskeyOptions extends PasskeyOptions {
  /** How browser and authenticator show the passkey. */
  readonly user: {
    readonly name: string
    readonly displayName?: string
    /** 1 to 64 bytes without any personal data; a later passkey of the same id replaces this one. Default: random. */
    readonly id?: Uint8Array
  }
}

export interface PasskeySecretOptions extends PasskeyOptions {
  /** Which passkey; without it the user chooses among those that this device has for `rpId`. */
  readonly credentialId?: Uint8Array
}

export interface Passkey {
  /** 1 to 1,023 bytes, not secret. */
  readonly credentialId: Uint8Array
  /** 32 bytes, where the authenticator gives them at once; otherwise `passkeySecret` asks for them. */
  readonly prf: Uint8Array | undefined
}

/**
 * What the PRF of a passkey is asked about. The browser hashes it with a prefix of its own before the authenticator sees
 * it, so that a web page never reaches what a system's login has from the same authenticator.
 */
const PRF_INPUT = 'sealog/v1/store'
const PRF_LENGTH = 32
/** COSE: ES256, Ed25519, RS256. Nobody ever verifies a signature of it: any that authenticators know will do. */
const ALGORITHMS: readonly number[] = [-7, -8, -257]

/**
 * Does this browser have the PRF extension of passkeys? Whether the authenticator of a user has it as well shows only when
 * a passkey is created.
 */
export async function isPasskeyPrfAvailable(): Promise<boolean> {
  if (!hasWebAuthn() || typeof PublicKeyCredential.getClientCapabilities !== 'function') return false
  const capabilities: Record<string, boolean | undefined> = await PublicKeyCredential.getClientCapabilities()
  return capabilities['extension:prf'] === true
}

/**
 * Creates a passkey that can protect a replica (`Replica.protect`), with the PRF extension of WebAuthn (Level 3, §10.1.4).
 * To be called where the user has just clicked. It stays on the authenticator, or in the account that it belongs to,
 * until the user removes it there.
 * @throws SealogError ERR_UNSUPPORTED where the browser or the authenticator has no PRF (a passkey may have been created
 * all the same, and is of no use here), ERR_ABORTED where the user declined or `signal` ended it; TypeError
 */
export async function createPasskey(options: NewPasskeyOptions): Promise<Passkey> {
  assertNewPasskey(options)
  assertWebAuthn()
  const { random } = platformEnvironment()
  const { rpId, signal, user } = options
  const id = user.id ?? random(32)
  const credential = await dialogue(options, () =>
    navigator.credentials.create({
      publicKey: {
        // An rp needs a name, which browsers no longer show.
        rp: { name: rpId ?? location.hostname, ...(rpId === undefined ? {} : { id: rpId }) },
        user: { id: own(id), name: user.name, displayName: user.displayName ?? user.name },
        challenge: own(random(32)),
        pubKeyCredParams: ALGORITHMS.map(alg => ({ type: 'public-key', alg })),
        authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
        attestation: 'none',
        extensions: prfExtension(),
      },
      ...(signal === undefined ? {} : { signal }),
    }),
  )
  const { prf } = credential.getClientExtensionResults()
  if (prf?.enabled !== true) throw new SealogError('ERR_UNSUPPORTED', 'the authenticator has no PRF')
  return { credentialId: new Uint8Array(credential.rawId), prf: prfOutput(prf) }
}

/**
 * The secret of a passkey, for `unlock` of `openReplica` and for `Replica.protect`: always the same for one passkey, and
 * given out by the authenticator only after it has verified the user, to pages of `rpId`. To be called where the user has
 * just clicked.
 * @returns 32 bytes
 * @throws SealogError ERR_UNSUPPORTED where the browser has no PRF, or the passkey was made without; ERR_ABORTED where the
 * user declined, has no such passkey here, or `signal` ended it; TypeError
 */
export async function passkeySecret(options: PasskeySecretOptions = {}): Promise<Uint8Array> {
  assertPasskeySecret(options)
  assertWebAuthn()
  const { credentialId, rpId, signal } = options
  const credential = await dialogue(options, () =>
    navigator.credentials.get({
      publicKey: {
        challenge: own(platformEnvironment().random(32)),
        allowCredentials: credentialId === undefined ? [] : [{ type: 'public-key', id: own(credentialId) }],
        // An authenticator has two functions for each passkey: this is the one that needs the user verified.
        userVerification: 'required',
        extensions: prfExtension(),
        ...(rpId === undefined ? {} : { rpId }),
      },
      ...(signal === undefined ? {} : { signal }),
    }),
  )
  const secret = prfOutput(credential.getClientExtensionResults().prf)
  if (secret === undefined) throw new SealogError('ERR_UNSUPPORTED', 'no PRF for this passkey')
  return secret
}

/** Asked at creation, too: some authenticators take the extension only with an input, and some answer at once. */
function prfExtension(): AuthenticationExtensionsClientInputs {
  return { prf: { eval: { first: own(toUtf8(PRF_INPUT)) } } }
}

function prfOutput(prf: AuthenticationExtensionsPRFOutputs | undefined): Uint8Array | undefined {
  const first = prf?.results?.first
  if (first === undefined) return undefined
  const bytes = ArrayBuffer.isView(first)
    ? new Uint8Array(first.buffer, first.byteOffset, first.byteLength).slice()
    : new Uint8Array(first).slice()
  if (bytes.length !== PRF_LENGTH) throw new SealogError('ERR_UNSUPPORTED', `a PRF of ${bytes.length} bytes`)
  return bytes
}

async function dialogue(
  { signal }: PasskeyOptions,
  begin: () => Promise<Credential | null>,
): Promise<PublicKeyCredential> {
  let credential: Credential | null
  try {
    credential = await begin()
  } catch (cause) {
    throw errorOf(cause, signal)
  }
  if (!(credential instanceof PublicKeyCredential)) throw new SealogError('ERR_UNSUPPORTED', 'no passkey came of it')
  return credential
}

/** What WebAuthn means by its errors (Level 3, §5.1.3 and §5.1.4). */
function errorOf(cause: unknown, signal: AbortSignal | undefined): Error {
  const name = cause instanceof Error ? cause.name : ''
  if (signal?.aborted || name === 'AbortError')
    return new SealogError('ERR_ABORTED', 'aborted by the caller', { cause })
  if (name === 'SecurityError') return new TypeError('rpId: expected the domain of this page or a parent', { cause })
  // Browsers give one and the same error for all that a user may do or be, so that pages cannot tell users apart.
  if (name === 'NotAllowedError') return new SealogError('ERR_ABORTED', 'the user declined, or none fits', { cause })
  return new SealogError('ERR_UNSUPPORTED', 'the browser or authenticator refused', { cause })
}

function hasWebAuthn(): boolean {
  return typeof PublicKeyCredential === 'function' && globalThis.navigator?.credentials !== undefined
}

function assertWebAuthn(): void {
  if (!hasWebAuthn()) throw new SealogError('ERR_UNSUPPORTED', 'passkeys need a browser, and a page from https')
}

function assertOptions(options: PasskeyOptions): void {
  if (typeof options !== 'object' || options === null) throw new TypeError('options: expected an object')
  const { rpId, signal } = options
  if (rpId !== undefined && (typeof rpId !== 'string' || rpId === '')) throw new TypeError('rpId: expected a domain')
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new TypeError('signal: expected an AbortSignal')
}

function assertNewPasskey(options: NewPasskeyOptions): void {
  assertOptions(options)
  const { user } = options
  if (typeof user !== 'object' || user === null) throw new TypeError('user: expected an object')
  const { name, displayName = '', id } = user
  if (typeof name !== 'string' || name === '') throw new TypeError('user.name: expected a name')
  if (typeof displayName !== 'string') throw new TypeError('user.displayName: expected a name')
  if (id !== undefined) assertLength(id, 64, 'user.id')
}

function assertPasskeySecret(options: PasskeySecretOptions): void {
  assertOptions(options)
  if (options.credentialId !== undefined) assertLength(options.credentialId, 1023, 'credentialId')
}

function assertLength(bytes: Uint8Array, most: number, argument: string): void {
  if (!(bytes instanceof Uint8Array) || bytes.length < 1 || bytes.length > most) {
    throw new TypeError(`${argument}: expected a Uint8Array of 1 to ${most} bytes`)
  }
}

/** In a buffer that cannot be a shared one, as the browser's types want it. */
function own(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes)
}
