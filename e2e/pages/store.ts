import { indexedDbStore } from 'sealog'
import { storeContract } from 'sealog/testing'

export interface StorePage {
  /** The cases of the acceptance suite of stores. */
  readonly cases: readonly string[]
  run(name: string): Promise<void>
}

declare global {
  /** What `store.html` offers to its driver. */
  var storePage: StorePage
}

let places = 0

const cases = storeContract(() => {
  const name = `place-${places++}`
  return { store: () => indexedDbStore(name), remove: () => removeDatabase(`sealog/${name}`) }
})

function removeDatabase(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name)
    request.onsuccess = () => resolve()
    request.onerror = () => reject(request.error)
    request.onblocked = () => reject(new Error('a store was left open'))
  })
}

globalThis.storePage = {
  cases: cases.map(({ name }) => name),
  async run(name) {
    const found = cases.find(candidate => candidate.name === name)
    if (found === undefined) throw new Error(`no case is called ${name}`)
    await found.run()
  },
}
