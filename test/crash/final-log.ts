import {
  advance,
  assertChecks,
  authenticationInput,
  defaultVerifier,
  emptyView,
  encodeMessage,
  isCurrent,
  type LogView,
  type PinnedRelay,
} from 'sealog/protocol'
import { exchange } from './exchange.ts'
import { keyOf, type LightSpace } from './setting.ts'

/** A whole log, verified as a replica does that knows nothing yet. */
export interface FinalLog {
  /** Leaf hashes, in order. */
  readonly hashes: readonly Uint8Array[]
  /** The relay's note about it. */
  readonly note: Uint8Array
}

/**
 * Reads a space from its first entry to the relay's current note; every proof, signature and state root is checked.
 * @throws SealogError as `advance` does; Error where the relay refuses or falls silent
 */
export async function readFinalLog(url: string, relay: PinnedRelay, space: LightSpace): Promise<FinalLog> {
  const verifier = await defaultVerifier()
  const { id } = space
  const key = keyOf(space)
  let view: LogView = emptyView(id, relay, [])
  const hashes: Uint8Array[] = []
  let note = new Uint8Array(0)
  await exchange(url, async (message, socket) => {
    if (message.type === 'welcome') {
      const input = authenticationInput(relay, message.challenge, id, key.publicKey)
      const signature = await key.sign(input)
      const open = {
        type: 'open',
        ref: 1,
        space: id,
        from: 0,
        device: key.publicKey,
        signature,
        wants: undefined,
      } as const
      socket.send(encodeMessage(open))
      return false
    }
    if (message.type !== 'sync') throw new Error(`${message.type}${'code' in message ? ` ${message.code}` : ''}`)
    const advanced = advance(view, message.batch)
    await assertChecks(verifier, advanced.checks)
    view = advanced.view
    for (const { hash } of advanced.entries) hashes.push(hash)
    note = message.batch.note.slice()
    return isCurrent(view)
  })
  return { hashes, note }
}
