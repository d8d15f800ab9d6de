import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import {
  createPasskey,
  isPasskeyPrfAvailable,
  type NewPasskeyOptions,
  type PasskeySecretOptions,
  passkeySecret,
} from '../src/passkey.ts'

// What real browsers do with a real protocol is in e2e/suites/passkey.ts; here is what they may do beside that.

const user = { name: 'ann@example.org' }
const prf = new Uint8Array(32).fill(6)
const code = (code: string) => expect.objectContaining({ code })

class FakeCredential {
  readonly rawId = Uint8Array.of(1, 2, 3).buffer
  readonly results: AuthenticationExtensionsClientOutputs

  constructor(results: AuthenticationExtensionsClientOutputs) {
    this.results = results
  }

  getClientExtensionResults(): AuthenticationExtensionsClientOutputs {
    return this.results
  }

  static capabilities: Record<string, boolean> = { 'extension:prf': true }

  static async getClientCapabilities(): Promise<Record<string, boolean>> {
    return FakeCredential.capabilities
  }
}

type Answer = (options: CredentialCreationOptions & CredentialRequestOptions) => unknown

function browser(answer: Answer): void {
  const call = async (options: CredentialCreationOptions & CredentialRequestOptions) => answer(options)
  vi.stubGlobal('PublicKeyCredential', FakeCredential)
  vi.stubGlobal('location', { hostname: 'app.example' })
  vi.stubGlobal('navigator', { credentials: { create: call, get: call } })
}

const refusing = (name: string): Answer => {
  return () => {
    throw new DOMException('no', name)
  }
}

beforeEach(() => {
  FakeCredential.capabilities = { 'extension:prf': true }
})

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('without WebAuthn, as in Node', () => {
  it('there is no PRF, and the calls say so by code', async () => {
    vi.stubGlobal('PublicKeyCredential', undefined)
    expect(await isPasskeyPrfAvailable()).toBe(false)
    await expect(createPasskey({ user })).rejects.toMatchObject({ code: 'ERR_UNSUPPORTED', retryable: false })
    await expect(passkeySecret()).rejects.toThrow(code('ERR_UNSUPPORTED'))
  })
})

describe('in a browser', () => {
  it('there is a PRF only where the browser says so', async () => {
    browser(() => null)
    expect(await isPasskeyPrfAvailable()).toBe(true)
    FakeCredential.capabilities = { 'extension:prf': false }
    expect(await isPasskeyPrfAvailable()).toBe(false)
    FakeCredential.capabilities = {}
    expect(await isPasskeyPrfAvailable()).toBe(false)
    vi.stubGlobal('PublicKeyCredential', class {})
    expect(await isPasskeyPrfAvailable()).toBe(false)
  })

  it('a passkey asks for the user to be verified, for a secret of the same input, and may give it at once', async () => {
    const asked: (PublicKeyCredentialCreationOptions & PublicKeyCredentialRequestOptions)[] = []
    browser(options => {
      asked.push(options.publicKey as (typeof asked)[number])
      return new FakeCredential({ prf: { enabled: true, results: { first: prf.buffer } } })
    })
    expect(await createPasskey({ user })).toEqual({ credentialId: Uint8Array.of(1, 2, 3), prf })
    expect(await passkeySecret({ credentialId: Uint8Array.of(1, 2, 3), rpId: 'app.example' })).toEqual(prf)
    const [creation, request] = asked
    expect(creation?.authenticatorSelection).toMatchObject({ residentKey: 'required', userVerification: 'required' })
    expect(request).toMatchObject({ rpId: 'app.example', userVerification: 'required' })
    expect(creation?.user).toMatchObject({ name: user.name, displayName: user.name })
    expect(creation?.extensions).toEqual(request?.extensions)
    expect(request?.allowCredentials).toEqual([{ type: 'public-key', id: Uint8Array.of(1, 2, 3) }])
    expect(creation?.challenge).toHaveLength(32)
    expect(creation?.challenge).not.toEqual(request?.challenge)
  })

  it('an authenticator that does not evaluate at creation is asked later', async () => {
    browser(() => new FakeCredential({ prf: { enabled: true } }))
    expect(await createPasskey({ user })).toEqual({ credentialId: Uint8Array.of(1, 2, 3), prf: undefined })
  })

  it.each<[string, AuthenticationExtensionsClientOutputs]>([
    ['without the extension', {}],
    ['that refuses it', { prf: { enabled: false } }],
    ['that gives too little', { prf: { enabled: true, results: { first: new Uint8Array(16) } } }],
  ])('an authenticator %s is not supported', async (_, results) => {
    browser(() => new FakeCredential(results))
    await expect(createPasskey({ user })).rejects.toThrow(code('ERR_UNSUPPORTED'))
    await expect(passkeySecret()).rejects.toThrow(code('ERR_UNSUPPORTED'))
  })

  it.each([
    ['NotAllowedError', 'ERR_ABORTED'],
    ['AbortError', 'ERR_ABORTED'],
    ['NotSupportedError', 'ERR_UNSUPPORTED'],
    ['ConstraintError', 'ERR_UNSUPPORTED'],
    ['UnknownError', 'ERR_UNSUPPORTED'],
  ])('%s is %s, with its cause', async (name, expected) => {
    browser(refusing(name))
    const error = { code: expected, cause: { name } }
    await expect(createPasskey({ user })).rejects.toMatchObject(error)
    await expect(passkeySecret()).rejects.toMatchObject(error)
  })

  it('a domain that is not of this page is a TypeError', async () => {
    browser(refusing('SecurityError'))
    await expect(passkeySecret({ rpId: 'other.example' })).rejects.toThrow(TypeError)
  })

  it('a signal ends the dialogue', async () => {
    const stop = new AbortController()
    browser(({ signal }) => {
      expect(signal).toBe(stop.signal)
      stop.abort()
      signal?.throwIfAborted()
    })
    await expect(passkeySecret({ signal: stop.signal })).rejects.toThrow(code('ERR_ABORTED'))
  })

  it('no credential, or one of another kind, is not supported', async () => {
    browser(() => null)
    await expect(passkeySecret()).rejects.toThrow(code('ERR_UNSUPPORTED'))
    browser(() => ({ type: 'password' }))
    await expect(passkeySecret()).rejects.toThrow(code('ERR_UNSUPPORTED'))
  })
})

describe('misuse is a TypeError that names the argument', () => {
  it.each([
    [undefined, 'options'],
    [{}, 'user'],
    [{ user: {} }, 'user.name'],
    [{ user: { name: '' } }, 'user.name'],
    [{ user: { name: 'a', displayName: 1 } }, 'user.displayName'],
    [{ user: { name: 'a', id: new Uint8Array(65) } }, 'user.id'],
    [{ user, rpId: '' }, 'rpId'],
    [{ user, signal: {} }, 'signal'],
  ])('createPasskey(%j)', async (options, argument) => {
    browser(() => new FakeCredential({ prf: { enabled: true } }))
    const error = await createPasskey(options as NewPasskeyOptions).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as TypeError).message).toMatch(new RegExp(`^${argument}:`))
  })

  it.each<[unknown, string]>([
    [null, 'options'],
    [{ credentialId: new Uint8Array(0) }, 'credentialId'],
    [{ credentialId: 'text' }, 'credentialId'],
    [{ rpId: 7 }, 'rpId'],
  ])('passkeySecret(%j)', async (options, argument) => {
    browser(() => new FakeCredential({ prf: { enabled: true } }))
    const error = await passkeySecret(options as PasskeySecretOptions).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(TypeError)
    expect((error as TypeError).message).toMatch(new RegExp(`^${argument}:`))
  })
})
