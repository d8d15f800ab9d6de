// A process full of clients: what it is told comes by IPC, as the answers go.
import { LoadReader, type LoadSpace } from './load-reader.ts'

/** Connections that are being made at once; the others wait. */
const AT_ONCE = 256

export type ClientsCommand =
  /** Readers, spread evenly over the spaces; answered once all have theirs open. */
  | {
      readonly do: 'open'
      readonly port: number
      readonly spaces: readonly LoadSpace[]
      readonly count: number
      readonly slow: number
    }
  /** Answered once all that are not slow have so many entries; those that lost their connection make it again. */
  | { readonly do: 'reach'; readonly size: number }
  /** The slow ones read again, and connect anew where they were cut off; answered once they have so many entries. */
  | { readonly do: 'wake'; readonly size: number }
  /** Cuts all connections at once, and makes them again at once; answered once all are open. */
  | { readonly do: 'storm' }
  | { readonly do: 'cut' }

export interface ClientsReport {
  readonly open: number
  readonly gaps: number
  readonly refusals: number
  readonly losses: number
  /** Since the command came, in milliseconds. */
  readonly took: number
}

let readers: LoadReader[] = []
let slow: LoadReader[] = []

async function carryOut(command: ClientsCommand): Promise<void> {
  switch (command.do) {
    case 'open': {
      const { port, spaces, count } = command
      const added = Array.from({ length: count + command.slow }, (_, i) => {
        return new LoadReader(port, spaces[i % spaces.length] as LoadSpace, i >= count)
      })
      readers = [...readers, ...added.slice(0, count)]
      slow = [...slow, ...added.slice(count)]
      await connectAll(added, AT_ONCE)
      return
    }
    case 'reach':
      await until(() => {
        for (const reader of readers) if (!reader.isConnected) reader.connect()
        return readers.every(reader => reader.position >= command.size)
      })
      return
    case 'wake':
      for (const reader of slow) reader.wake()
      await until(() => {
        for (const reader of slow) if (!reader.isConnected) reader.connect()
        return slow.every(reader => reader.position >= command.size)
      })
      return
    case 'storm':
      for (const reader of readers) reader.cut()
      await connectAll(readers, readers.length)
      return
    case 'cut':
      for (const reader of [...readers, ...slow]) reader.cut()
      readers = []
      slow = []
  }
}

/** Whoever is turned away tries again, as replicas do. */
async function connectAll(all: readonly LoadReader[], atOnce: number): Promise<void> {
  const waiting = [...all]
  let underWay: LoadReader[] = []
  await until(() => {
    underWay = underWay.filter(reader => !reader.isOpen)
    for (const reader of underWay) if (!reader.isConnected) reader.connect()
    while (underWay.length < atOnce && waiting.length > 0) {
      const reader = waiting.pop() as LoadReader
      underWay.push(reader)
      reader.connect()
    }
    return underWay.length === 0 && waiting.length === 0
  })
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 20))
}

process.on('message', (command: ClientsCommand) => {
  const start = performance.now()
  void carryOut(command).then(() => {
    const all = [...readers, ...slow]
    const sum = (field: 'gaps' | 'refusals' | 'losses'): number =>
      all.reduce((total, reader) => total + reader[field], 0)
    const report: ClientsReport = {
      open: all.filter(reader => reader.isOpen).length,
      gaps: sum('gaps'),
      refusals: sum('refusals'),
      losses: sum('losses'),
      took: performance.now() - start,
    }
    process.send?.(report)
  })
})
// Whoever started this process is gone.
process.on('disconnect', () => process.exit())
