import { loopbackRelay } from 'sealog-relay/testing'
import type { Limits } from '../../relay-server/src/limits.ts'
import { type MemoryContent, memoryContent, memoryLogStore } from '../../relay-server/src/log-store-memory.ts'
import { generateSeed } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import type { Environment } from '../../src/environment.ts'
import type { SpaceId } from '../../src/ids.ts'
import type { Transport } from '../../src/relay/transport.ts'

/** A copy of what a relay has stored, without what it has signed: what a backup holds. */
export type Backup = MemoryContent['spaces']

export interface RestartOptions {
  /** Goes on from this copy; default: from what it has. */
  readonly from?: Backup
  /** What it has signed is lost, too. Default false. */
  readonly losesHeads?: boolean
  /** The operator gives up what is missing. Default false. */
  readonly acceptRollback?: boolean
  /** Default: as before. */
  readonly limits?: Partial<Limits>
}

/** A relay whose operator restores backups. */
export interface SetBackRelay {
  readonly transport: Transport
  backup(): Backup
  /** Ends the relay as a kill does, and starts it again. */
  restart(options?: RestartOptions): Promise<void>
  /** Number of entries that it has stored. */
  size(space: SpaceId): number
  close(): Promise<void>
}

export function setBackRelay(environment: Environment): SetBackRelay {
  const signingKey = nobleSigningKey(generateSeed(environment.random))
  const content = memoryContent()
  let limits: Partial<Limits> = {}
  let relay = start({})

  function start({ acceptRollback = false }: RestartOptions): ReturnType<typeof loopbackRelay> {
    return loopbackRelay({ environment, signingKey, store: memoryLogStore(content), limits, acceptRollback })
  }

  return {
    transport: { connect: (url, events) => relay.connect(url, events) },
    backup: () => copyOf(content.spaces),
    async restart(options = {}) {
      const { from, losesHeads = false } = options
      relay.stop()
      await relay.close()
      limits = options.limits ?? limits
      if (from !== undefined) {
        content.spaces.clear()
        for (const [space, stored] of copyOf(from)) content.spaces.set(space, stored)
      }
      if (losesHeads) content.heads.clear()
      relay = start(options)
    },
    size: space => content.spaces.get(space)?.entries.length ?? 0,
    close: () => relay.close(),
  }
}

function copyOf(spaces: Backup): Backup {
  return new Map(
    [...spaces].map(([id, space]) => [
      id,
      {
        ...space,
        entries: [...space.entries],
        nodes: new Map(space.nodes),
        documents: new Map(space.documents),
        actors: new Map(space.actors),
        cosigned: new Map(space.cosigned),
        control: new Map(space.control),
        wraps: new Map(space.wraps),
      },
    ]),
  )
}
