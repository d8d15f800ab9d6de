import type { ClientEvent } from './events.ts'
import { type LightCrew, type LightCrewOptions, startLightCrew } from './light-crew.ts'

export type WritersOrder = { readonly type: 'start' } & LightCrewOptions
export type WritersMessage = WritersOrder | { readonly type: 'stop' }

/** Last message of this process: everything that it ever wrote is acknowledged. */
export interface WritersFinished {
  readonly type: 'finished'
}

// A process with one light client for each space.

let crew: LightCrew | undefined

function start(order: WritersOrder): void {
  crew = startLightCrew(order, tell)
  crew.done.then(
    () => tell({ type: 'finished' }),
    error => tell({ type: 'fault', what: `${order.name}: ${String(error)}` }),
  )
}

function tell(message: ClientEvent | WritersFinished): void {
  if (process.connected) process.send?.(message)
}

process.on('message', (message: WritersMessage) => {
  if (message.type === 'start') start(message)
  else crew?.stop()
})
// Nobody is left to tell.
process.on('disconnect', () => process.exit())
