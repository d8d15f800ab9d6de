import { mkdirSync, mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RelayProcess } from './relay-process.ts'
import { ReplicaHandle } from './replica-handle.ts'
import { Wire } from './wire.ts'

/** Names that must not appear anywhere outside the devices. */
export const SPACE_NAME = 'Harbour of unopened letters'
export const NOTE_TITLE = 'Confession of a lamplighter'
export const NOTE_NAME = 'Draft under the floorboards'
export const DUET_TITLE = 'Duet for two typewriters'
export const DUET_NAME = 'Pages passed beneath the table'
export const JOURNAL_NAME = 'Ledger of every promise kept'
export const PEOPLE = { a: 'Adelheid Quartermain', b: 'Bartholomew Inkwell', c: 'Cordelia Nightjar' } as const

/** Everything that the steps of the demonstration act on. */
export interface Stage {
  readonly folder: string
  readonly relayData: string
  readonly relayLog: string
  /** What passed on the wire: as it was, and without framing and masks. */
  readonly captures: readonly [raw: string, payloads: string]
  readonly relay: RelayProcess
  readonly wire: Wire
  readonly a: ReplicaHandle
  readonly b: ReplicaHandle
  /** Another device, which knows nothing yet. */
  startReplica(key: keyof typeof PEOPLE): Promise<ReplicaHandle>
  /** Ends all processes; whatever happened, none is left behind. */
  end(): Promise<void>
}

/**
 * Starts a relay process, a wire to it and two replica processes, all in a new temporary folder.
 * @param onFolder hears of the folder before anything is in it; removing it is the caller's
 */
export async function setStage(onFolder: (folder: string) => void): Promise<Stage> {
  const folder = mkdtempSync(join(tmpdir(), 'sealog-demo-'))
  onFolder(folder)
  const relayData = join(folder, 'relay')
  mkdirSync(relayData)
  const relayLog = join(folder, 'relay.log')
  const captures = [join(folder, 'wire.raw'), join(folder, 'wire.payloads')] as const
  const endings: (() => Promise<void>)[] = []
  const end = async (): Promise<void> => {
    const results = await Promise.allSettled(endings.splice(0).map(ending => ending()))
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }
  try {
    const relay = new RelayProcess(await RelayProcess.freePort(), relayData, relayLog)
    endings.push(() => relay.kill())
    await relay.start()
    const wire = await Wire.start(relay.port, ...captures)
    endings.push(() => wire.close())
    const startReplica = async (key: keyof typeof PEOPLE): Promise<ReplicaHandle> => {
      const paths = { store: join(folder, `${key}.db`), log: join(folder, `${key}.log`) }
      const handle = new ReplicaHandle({ name: PEOPLE[key], relay: wire.url, ...paths })
      endings.push(() => handle.kill())
      await handle.start()
      return handle
    }
    const [a, b] = await Promise.all([startReplica('a'), startReplica('b')])
    return { folder, relayData, relayLog, captures, relay, wire, a, b, startReplica, end }
  } catch (error) {
    await end()
    throw error
  }
}
