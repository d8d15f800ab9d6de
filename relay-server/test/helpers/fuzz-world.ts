import { actorOf, decodeHeader, decodeRelayMessage, encodeMessage, type SpaceId } from 'sealog/protocol'
import type { Authored, TestDevice } from './authoring.ts'
import type { Surroundings } from './fuzz-frames.ts'
import { admit, type World } from './world.ts'

/** A second space id, of nothing. */
const NOWHERE = 'ab'.repeat(32) as SpaceId

/** What a hostile member knows of a world with some entries in it. @param device whose frames are made; default: a new one */
export async function surroundingsOf(world: World, device?: TestDevice): Promise<Surroundings> {
  const owner = await world.reader()
  const member = device ?? (await admit(world, owner))
  const entries: Authored[] = [world.genesis]
  for (const author of [world.owner, member, world.owner, member]) {
    const entry = world.entry(owner, author)
    owner.push(world.space, entry)
    await world.relay.deliverAll()
    await owner.follow(world.space)
    entries.push(entry)
  }
  const message = owner.messages.at(-1)
  if (message?.type !== 'sync') throw new Error('expected the last entry')
  owner.close()
  await world.relay.deliverAll()
  const actors = entries.slice(1).map(({ header }) => {
    const { document, device: number, incarnation } = decodeHeader(header)
    const { signing } = number === member.number ? member : world.owner
    return actorOf(world.genesis.hash, document, signing, incarnation)
  })
  const documents = entries.map(({ header }) => decodeHeader(header).document)
  return {
    spaces: [world.space, world.space, NOWHERE],
    documents,
    actors,
    device: member.signing,
    note: message.batch.note,
    entries,
  }
}

/** What the relay said must be what a replica can read, in the one spelling that it has. */
export function assertReadable(frame: Uint8Array): void {
  const again = encodeMessage(decodeRelayMessage(frame))
  if (again.length !== frame.length || again.some((byte, i) => byte !== frame[i])) throw new Error('another spelling')
}
