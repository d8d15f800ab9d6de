import {
  createPasskey,
  indexedDbStore,
  isPasskeyPrfAvailable,
  openReplica,
  passkeySecret,
  type Replica,
  SealogError,
  type StoreSecret,
} from 'sealog'

/** A secret as plain data, so that it can leave the page: a passphrase, or the bytes of a passkey. */
export type PlainSecret = string | readonly number[]

export interface PasskeyPage {
  isAvailable(): Promise<boolean>
  /** @returns the id of a new passkey, or the code of why there is none */
  create(name: string): Promise<readonly number[] | string>
  /** @returns the bytes of a passkey, or the code of why there are none */
  secret(credentialId: readonly number[] | undefined): Promise<readonly number[] | string>
  /** Opens the replica under test. @returns how its keys are protected, or the code of why it did not open */
  open(relay: string, unlock: PlainSecret | undefined): Promise<string>
  createSpace(): Promise<string>
  /** @returns how often the page came to do something else meanwhile */
  protect(secret: PlainSecret): Promise<number>
  /** The names of all spaces, each opened. */
  spaces(): Promise<readonly string[]>
  close(): Promise<void>
}

declare global {
  /** What `passkey.html` offers to its driver. */
  var passkeyPage: PasskeyPage
}

let replica: Replica | undefined

function current(): Replica {
  if (replica === undefined) throw new Error('no replica is open')
  return replica
}

function secretOf(secret: PlainSecret): StoreSecret {
  return typeof secret === 'string' ? { passphrase: secret } : { prf: Uint8Array.from(secret) }
}

/** What came of it, or the code with which it failed. */
async function outcome<T>(task: Promise<T>): Promise<T | string> {
  try {
    return await task
  } catch (error) {
    if (error instanceof SealogError) return error.code
    throw error
  }
}

globalThis.passkeyPage = {
  isAvailable: isPasskeyPrfAvailable,
  create: name => outcome(createPasskey({ user: { name } }).then(({ credentialId }) => [...credentialId])),
  secret(credentialId) {
    const options = credentialId === undefined ? {} : { credentialId: Uint8Array.from(credentialId) }
    return outcome(passkeySecret(options).then(bytes => [...bytes]))
  },
  async open(relay, unlock) {
    const store = indexedDbStore('protected')
    const options = unlock === undefined ? {} : { unlock: secretOf(unlock) }
    return outcome(
      openReplica({ store, relay, ...options }).then(opened => {
        replica = opened
        return opened.protection ?? 'nothing'
      }),
    )
  },
  async createSpace() {
    const space = await current().createSpace({ name: 'Field notes', timeout: 15_000 })
    await space.sync({ timeout: 15_000 })
    return space.id
  },
  async protect(secret) {
    let moments = 0
    const timer = setInterval(() => moments++, 1)
    try {
      await current().protect(secretOf(secret))
    } finally {
      clearInterval(timer)
    }
    return moments
  },
  async spaces() {
    const ids = await current().spaces()
    return Promise.all(ids.map(async id => (await current().openSpace(id)).name))
  },
  close: () => current().close(),
}
