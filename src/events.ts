/** Ends a subscription; calling it again does nothing. */
export type Unsubscribe = () => void

export interface ListenOptions {
  /** Ends the subscription when it aborts. */
  readonly signal?: AbortSignal
}

type Listener<Event> = (event: Event) => void

/** The listeners of each type in the order of subscription, and what ends each subscription. */
type Listeners<Events> = { [Type in keyof Events]?: Map<Listener<Events[Type]>, Unsubscribe> }

/** Typed listeners, called in the order of subscription. What one throws is reported, and the others still run. */
export class Emitter<Events> {
  #listeners: Listeners<Events> = {}

  /** @throws TypeError */
  on<Type extends keyof Events>(
    type: Type,
    listener: Listener<Events[Type]>,
    options: ListenOptions = {},
  ): Unsubscribe {
    if (typeof listener !== 'function') throw new TypeError('listener: expected a function')
    const { signal } = options
    if (signal !== undefined && !(signal instanceof AbortSignal)) {
      throw new TypeError('signal: expected an AbortSignal')
    }
    if (signal?.aborted) return () => {}
    const listeners: Map<Listener<Events[Type]>, Unsubscribe> = this.#listeners[type] ?? new Map()
    this.#listeners[type] = listeners
    listeners.get(listener)?.()
    const off = (): void => {
      if (listeners.get(listener) === off) listeners.delete(listener)
      signal?.removeEventListener('abort', off)
    }
    listeners.set(listener, off)
    signal?.addEventListener('abort', off, { once: true })
    return off
  }

  /** Ends a subscription by its listener, as editor bindings expect. */
  off<Type extends keyof Events>(type: Type, listener: Listener<Events[Type]>): void {
    this.#listeners[type]?.get(listener)?.()
  }

  emit<Type extends keyof Events>(type: Type, event: Events[Type]): void {
    const listeners = this.#listeners[type]
    for (const listener of [...(listeners?.keys() ?? [])]) {
      // One that an earlier listener has just taken off is not told any more.
      if (!listeners?.has(listener)) continue
      try {
        listener(event)
      } catch (error) {
        // As with DOM events: a faulty listener must not stop sync, and must not go unnoticed.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }

  /** Ends all subscriptions, so that no signal holds on to a listener. */
  clear(): void {
    const all = Object.values(this.#listeners) as (Map<unknown, Unsubscribe> | undefined)[]
    for (const listeners of all) for (const off of [...(listeners?.values() ?? [])]) off()
    this.#listeners = {}
  }
}
