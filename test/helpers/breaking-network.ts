import type { Transport } from '../../src/relay/transport.ts'

export interface CountingNetwork {
  readonly network: (inner: Transport) => Transport
  breakAfter(frames: number): void
  hasBroken(): boolean
}

/** Breaks all connections once, after so many frames in either direction. */
export function countingNetwork(): CountingNetwork {
  let left = Number.POSITIVE_INFINITY
  let broken = false
  const open = new Set<() => void>()
  const passes = (): boolean => {
    if (--left > 0 || broken) return true
    broken = true
    for (const close of [...open]) close()
    return false
  }
  return {
    breakAfter: frames => {
      left = frames
      broken = false
    },
    hasBroken: () => broken,
    network: inner => ({
      connect: (url, events) => {
        const connection = inner.connect(url, {
          ...events,
          onOpen: () => events.onOpen(),
          onClose: cause => {
            open.delete(close)
            events.onClose(cause)
          },
          onFrame: frame => {
            if (passes()) events.onFrame(frame)
          },
        })
        const close = (): void => {
          open.delete(close)
          connection.close()
          events.onClose(undefined)
        }
        open.add(close)
        return {
          ...connection,
          send: frame => {
            if (passes()) connection.send(frame)
          },
        }
      },
    }),
  }
}
