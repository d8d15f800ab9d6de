/** Ends a subscription; calling it again does nothing. */
export type Unsubscribe = () => void

export interface ListenOptions {
  /** Ends the subscription when it aborts. */
  readonly signal?: AbortSignal
}

type Listeners<Events> = { [Type in keyof Events]?: Set<(event: Events[Type]) => void> }

/** Typed listeners, called in the order of subscription. What one throws is reported, and the others still run. */
export class Emitter<Events> {
  readonly #listeners: Listeners<Events> = {}

  on<Type extends keyof Events>(
    type: Type,
    listener: (event: Events[Type]) => void,
    options: ListenOptions = {},
  ): Unsubscribe {
    if (typeof listener !== 'function') throw new TypeError('listener: expected a function')
    const { signal } = options
    if (signal?.aborted) return () => {}
    const listeners: Set<(event: Events[Type]) => void> = this.#listeners[type] ?? new Set()
    this.#listeners[type] = listeners
    listeners.add(listener)
    const off = (): void => {
      listeners.delete(listener)
      signal?.removeEventListener('abort', off)
    }
    signal?.addEventListener('abort', off, { once: true })
    return off
  }

  /** Ends a subscription by its listener, as editor bindings expect. */
  off<Type extends keyof Events>(type: Type, listener: (event: Events[Type]) => void): void {
    this.#listeners[type]?.delete(listener)
  }

  emit<Type extends keyof Events>(type: Type, event: Events[Type]): void {
    for (const listener of [...(this.#listeners[type] ?? [])]) {
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

  clear(): void {
    for (const type of Object.keys(this.#listeners) as (keyof Events)[]) delete this.#listeners[type]
  }
}
