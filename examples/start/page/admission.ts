import { indexedDbStore, openReplica, type Replica, type Space } from 'sealog'
import { fieldOf } from './dom.ts'
import type { Demo } from './server.ts'

/** How a device gets into the space of the demonstration. */
export interface Way {
  readonly demo: Demo
  /** Tells this device's database from those of other panes. */
  readonly device: string
  /** What the member is called, unless it is asked. */
  readonly name: string
  /** Asks for a name before it joins. */
  readonly asks: boolean
  /** An invite, needed where this device is not a member yet. */
  readonly invite: () => Promise<string>
}

export interface AdmissionParts {
  readonly form: HTMLFormElement
  readonly invitation: HTMLElement
  readonly progress: HTMLElement
}

/** Opens the space where this device knows it already, offline too; joins it otherwise. */
export async function enterSpace(way: Way, parts: AdmissionParts): Promise<Space> {
  parts.progress.textContent = 'Opening…'
  const replica = await open(way, way.name)
  try {
    if ((await replica.spaces()).some(id => id === way.demo.space)) return await replica.openSpace(way.demo.space)
    const link = await way.invite()
    const name = way.asks ? await askName(replica, link, parts) : way.name
    parts.progress.textContent = 'Joining…'
    if (name === way.name) return await replica.joinSpace(link)
    await replica.close()
    return await join(way, name, link)
  } catch (error) {
    await replica.close()
    throw error
  }
}

/** A replica says its name when it joins, so it is opened again under the one that was chosen. */
async function join(way: Way, name: string, link: string): Promise<Space> {
  const replica = await open(way, name)
  try {
    return await replica.joinSpace(link)
  } catch (error) {
    await replica.close()
    throw error
  }
}

function open({ demo, device }: Way, name: string): Promise<Replica> {
  const store = indexedDbStore(`start/${demo.space}/${device}`)
  return openReplica({ store, relay: demo.relay, profile: { name, device } })
}

async function askName(replica: Replica, link: string, parts: AdmissionParts): Promise<string> {
  const { form, invitation, progress } = parts
  const { spaceName, inviterName, role } = await replica.previewInvite(link)
  invitation.textContent = `${inviterName} invites you to “${spaceName}” as a ${role}.`
  progress.textContent = 'Not a member yet'
  form.hidden = false
  return new Promise(resolve => {
    form.addEventListener('submit', event => {
      event.preventDefault()
      form.hidden = true
      resolve(fieldOf(form, 'name'))
    })
  })
}
