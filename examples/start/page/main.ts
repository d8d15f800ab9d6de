import { Comparison } from './comparison.ts'
import { explain } from './explain.ts'
import { addPane } from './pane.ts'
import { type Demo, fetchDemo, fetchInvite } from './server.ts'

/** Where invite links lead. */
const JOIN_PATH = '/join'
const NAMES = ['Ann', 'Bob']

async function showTwoDevices(panes: HTMLElement, demo: Demo): Promise<void> {
  const comparison = new Comparison(document.getElementById('comparison') as HTMLElement, NAMES.length)
  const added = NAMES.map((name, index) => {
    const way = { demo, device: `pane-${index + 1}`, name, asks: false, invite: fetchInvite }
    return addPane(panes, way, note => comparison.update(index, note))
  })
  await Promise.all(added)
}

async function showGuest(panes: HTMLElement, demo: Demo): Promise<void> {
  const link = location.href
  // An invite is a key: it does not stay in the address bar, where it would be bookmarked or shared.
  history.replaceState(null, '', JOIN_PATH)
  const lead = document.getElementById('lead') as HTMLElement
  lead.textContent = 'This browser is a device of its own, with its own keys and its own database.'
  const invite = async (): Promise<string> => {
    if (link.includes('#')) return link
    throw new Error('This browser is no member yet. Open an invite link that nobody has used.')
  }
  await addPane(panes, { demo, device: 'guest', name: 'Guest', asks: true, invite }, () => {})
}

const panes = document.getElementById('panes') as HTMLElement
try {
  const demo = await fetchDemo()
  await (location.pathname === JOIN_PATH ? showGuest(panes, demo) : showTwoDevices(panes, demo))
} catch (error) {
  panes.textContent = explain(error)
}
