import { join } from 'node:path'
import { nodeStore, openReplica, type Replica, type Space } from 'sealog/node'

/** How long the owner waits for its own relay, in milliseconds. */
const TIMEOUT = 10_000

const WELCOME = `Two people write this note at the same time.

Switch one of them offline, write on both sides, reload the page if you like, and switch back online: nothing is lost, nothing appears twice, and the relay in between has read none of it.
`

export interface Owner {
  readonly replica: Replica
  readonly space: Space
}

/** The member behind the demonstration: a replica in Node that owns the space and lets the others in. */
export async function openOwner(data: string, relay: string): Promise<Owner> {
  const profile = { name: 'Olga', device: 'this terminal' }
  const replica = await openReplica({ store: nodeStore(join(data, 'owner.db')), relay, profile })
  try {
    const [known] = await replica.spaces()
    const space =
      known === undefined
        ? await replica.createSpace({ name: 'Field notes', timeout: TIMEOUT })
        : await replica.openSpace(known)
    if (space.documents().length === 0) {
      const note = await space.createDocument({ body: WELCOME }, { name: 'Welcome', type: 'note' })
      note.close()
    }
    await space.sync({ timeout: TIMEOUT })
    return { replica, space }
  } catch (error) {
    await replica.close()
    throw error
  }
}
