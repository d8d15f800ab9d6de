import type { Mode } from '../lib/serve.ts'
import { eventually } from '../lib/within.ts'
import { expectConverged, expectOnce, NoteDevice } from './note-device.ts'
import { expect, expectEqual, type World } from './world.ts'

/**
 * Two people write one note; one of them loses the relay, goes on, reloads, goes on and returns; a third comes later.
 *
 * What is cut is the way to the relay: every connection of that profile to it is reset, and new ones are refused. The
 * server of the page stays in reach, as a page that works offline would have its files cached.
 */
export async function notesSuite({ report, site, profile }: World, mode: Mode): Promise<void> {
  const { url } = await site(mode)
  const ann = await NoteDevice.open(await profile(), 'Ann', url)
  const bob = await NoteDevice.open(await profile(), 'Bob', url)
  const written: string[] = []
  let inviteForLater = ''

  await report.check(`${mode}: two browser profiles write the same note at the same time`, async () => {
    await ann.create()
    await ann.write('start', 1, 0)
    await bob.join(await ann.invite())
    inviteForLater = await ann.invite()
    const both = await Promise.all([ann.write('a', 40, 0.5), bob.write('b', 40, 0.5)])
    written.push(...both.flat())
    const looks = await settled([ann, bob])
    expectConverged(looks)
    expectOnce(looks[0]?.text ?? '', written)
  })

  await report.check(`${mode}: without the relay a profile goes on writing, and a reload loses nothing`, async () => {
    bob.profile.wire.cut()
    await eventually(async () => expect((await bob.look()).connection !== 'online', 'offline is shown'))
    const before = await bob.look()
    const offline = await bob.write('offline', 20, 0.2)
    await bob.saved()
    await bob.reload()
    const reloaded = await bob.look()
    expectOnce(reloaded.text, [...written, ...offline])
    expectEqual(reloaded.waiting, 20, 'what was written offline waits')
    expect(reloaded.connection !== 'online', 'still offline')
    written.push(...offline, ...(await bob.write('again', 20, 0.8)), ...(await ann.write('meanwhile', 20, 0.5)))
    await ann.sync()
    const [away, there] = [await bob.look(), await ann.look()]
    expectEqual(away.size, before.size, 'nothing comes in over a wire that is cut')
    expect(there.size > before.size && !there.text.includes('<offline0>'), 'and nothing goes out')
  })

  await report.check(`${mode}: back at the relay, both converge without loss and without doubles`, async () => {
    bob.profile.wire.mend()
    const looks = await settled([bob, ann])
    expectConverged(looks)
    expectOnce(looks[0]?.text ?? '', written)
  })

  await report.check(`${mode}: a third profile that comes later catches up from the relay alone`, async () => {
    const last = await ann.look()
    await Promise.all([ann.close(), bob.close()])
    const cleo = await NoteDevice.open(await profile(), 'Cleo', url)
    await cleo.join(inviteForLater)
    expectConverged([await eventually(async () => (await settled([cleo]))[0] ?? last), last])
  })
}

/** The devices, when everything one wrote has reached the others. */
async function settled(devices: readonly NoteDevice[]): Promise<Awaited<ReturnType<NoteDevice['look']>>[]> {
  for (const device of devices) await device.sync()
  for (const device of devices) await device.sync()
  return Promise.all(devices.map(device => device.look()))
}
