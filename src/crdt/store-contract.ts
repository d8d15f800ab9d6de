import type { ReplicaStore } from './store.ts'
import { BATCH_CASES } from './store-contract-batches.ts'
import { LIFETIME_CASES } from './store-contract-lifetime.ts'
import { ROW_CASES } from './store-contract-rows.ts'
import { checkSessionFailingEverywhere } from './store-contract-session.ts'

/** Where one case of the suite keeps its rows: a name, a file, a map; empty at first. */
export interface StorePlace {
  /** A new, unopened store over this place. */
  store(): ReplicaStore
  /** Removes the place; called when the case is over and all its stores are closed. */
  remove?(): Promise<void>
}

export interface StoreContractCase {
  /** The promise that is checked. */
  readonly name: string
  /** Rejects with what was broken. */
  run(): Promise<void>
}

/**
 * The acceptance suite of `ReplicaStore`, for stores of any kind. It needs no test library: hand each case to the one
 * at hand, for example `for (const { name, run } of storeContract(makePlace)) test(name, run)`. The slowest cases write
 * 8 MiB, or run some hundred small commits; allow them half a minute on a slow disk.
 * @param makePlace makes a new, empty place; called once per case, and for each failure of the last two
 */
export function storeContract(makePlace: () => StorePlace | Promise<StorePlace>): readonly StoreContractCase[] {
  const onePlace = [...ROW_CASES, ...BATCH_CASES, ...LIFETIME_CASES].map(([name, check]) => ({
    name,
    run: () => withPlaces(makePlace, async newPlace => check(await newPlace())),
  }))
  const failing = (['before', 'after'] as const).map(mode => ({
    name: `a session that fails ${mode} the effect of any one operation loses nothing acknowledged`,
    run: () => withPlaces(makePlace, newPlace => checkSessionFailingEverywhere(newPlace, mode)),
  }))
  return [...onePlace, ...failing]
}

/** Hands out places, and in the end closes their stores, since a failed case leaves them open, and removes them. */
async function withPlaces(
  makePlace: () => StorePlace | Promise<StorePlace>,
  run: (newPlace: () => Promise<() => ReplicaStore>) => Promise<void>,
): Promise<void> {
  const places: StorePlace[] = []
  const stores: ReplicaStore[] = []
  try {
    await run(async () => {
      const place = await makePlace()
      places.push(place)
      return () => {
        const store = place.store()
        stores.push(store)
        return store
      }
    })
  } finally {
    for (const store of stores) await store.close()
    for (const place of places) await place.remove?.()
  }
}
