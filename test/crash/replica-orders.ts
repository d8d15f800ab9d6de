/** What a process with a replica does when it is told to. Times in milliseconds. */
export interface ReplicaOrders {
  /** @param options.store file of its store; undefined: in memory. With space and document: what is in the store. */
  open(options: OpenOrder): Promise<void>
  /** Creates a space and the document that all write to. */
  found(timeout: number): Promise<{ readonly space: string; readonly document: string }>
  /** @returns the link */
  invite(timeout: number): Promise<string>
  join(link: string, document: string, timeout: number): Promise<void>
  /** Edits from now on; each edit has an id of its own, which is told when it is in the local store. */
  write(prefix: string): Promise<void>
  /** Ends that; resolves when the last edit is in the local store. */
  rest(): Promise<void>
  sync(timeout: number): Promise<void>
  report(): Promise<ReplicaReport>
  close(): Promise<void>
}

export interface OpenOrder {
  readonly name: string
  readonly store: string | undefined
  readonly relay: string
  readonly space?: string
  readonly document?: string
}

/** What a replica has of the document in the end. */
export interface ReplicaReport {
  readonly ids: readonly string[]
  readonly heads: readonly string[]
  readonly frozen: boolean
  readonly local: { readonly unsaved: number; readonly pending: number; readonly sequenced: number }
}

export interface ReplicaCall {
  readonly ref: number
  readonly order: keyof ReplicaOrders
  readonly args: readonly unknown[]
}

export interface ReplicaAnswer {
  readonly type: 'answer'
  readonly ref: number
  readonly result?: unknown
  readonly failure?: string
}
