import { isZero } from '../../src/bytes.ts'
import { signSync } from '../../src/crypto/sign.ts'
import { nobleSigningKey } from '../../src/crypto/sign-backend.ts'
import { SealogError } from '../../src/errors.ts'
import { type SpaceId, spaceIdOf } from '../../src/ids.ts'
import { decodeReplicaMessage, encodeMessage, type RelayMessage } from '../../src/relay/messages.ts'
import type { Connection, ConnectionEvents, Transport } from '../../src/relay/transport.ts'
import { encodeNote, encodeNoteText, originOf } from '../../src/verify/checkpoint.ts'
import { appendLeaf, emptyRange, rootOf } from '../../src/verify/compact-range.ts'
import { decodeHeader, entryHash } from '../../src/verify/entry.ts'
import { noteKeyHash } from '../../src/verify/note-key.ts'
import { appendNodes, proveConsistency, rootAt } from '../../src/verify/prove.ts'
import { applyHeader } from '../../src/verify/reducer.ts'
import { type SpaceState, stateRoot } from '../../src/verify/state.ts'

class Log {
  entries: { header: Uint8Array; signature: Uint8Array; body: Uint8Array; hash: Uint8Array }[] = []
  nodes = new Map<string, Uint8Array>()
  state: SpaceState | undefined
  subs = new Set<{ pos: number; send(m: RelayMessage): void }>()
  nodeAt = (l: number, i: number) => this.nodes.get(`${l}/${i}`) as Uint8Array
}
export function miniRelay(): Transport & {
  logs: Map<string, Log>
  bytes: number
  mute: boolean
  down: boolean
  cut(): void
} {
  const seed = crypto.getRandomValues(new Uint8Array(32))
  const key = nobleSigningKey(seed).publicKey
  const logs = new Map<string, Log>()
  const self = {
    logs,
    bytes: 0,
    /** Frames to the replica that are lost. */
    mute: false,
    down: false,
    cuts: new Set<() => void>(),
    cut() {
      for (const c of [...self.cuts]) c()
    },
    connect(_url: string, ev: ConnectionEvents): Connection {
      let open = true
      const close = () => {
        if (!open) return
        open = false
        self.cuts.delete(close)
        for (const [s, sub] of mine) logs.get(s)?.subs.delete(sub)
        setTimeout(() => ev.onClose(undefined))
      }
      self.cuts.add(close)
      if (self.down) setTimeout(close)
      const mine = new Map<string, { pos: number; send(m: RelayMessage): void }>()
      const send = (m: RelayMessage) => {
        const f = encodeMessage(m)
        self.bytes += f.length
        setTimeout(() => open && !self.mute && ev.onFrame(f))
      }
      const note = (space: SpaceId, log: Log) => {
        const origin = originOf('mini.example', space)
        const cp = {
          origin,
          size: log.entries.length,
          root: rootAt(log.entries.length, log.nodeAt),
          stateRoot: stateRoot(log.state!),
          time: Date.now(),
        }
        return encodeNote(cp, [
          { name: origin, keyHash: noteKeyHash(origin, key), signature: signSync(seed, encodeNoteText(cp)) },
        ])
      }
      const feed = (space: SpaceId, log: Log, sub: { pos: number; send(m: RelayMessage): void }, ref: number) => {
        let first = true
        const n = note(space, log)
        do {
          const es = log.entries.slice(sub.pos, sub.pos + 50)
          const end = sub.pos + es.length
          const sizes = new Set(es.map(e => decodeHeader(e.header).seenSize).filter(s => s > 0 && s < sub.pos))
          const from = sub.pos
          sub.pos = end
          sub.send({
            type: 'sync',
            ref: first ? ref : 0,
            space,
            batch: {
              from,
              entries: es,
              note: n,
              seenProofs: [...sizes].map(size => ({ size, proof: proveConsistency(size, from, log.nodeAt) })),
              consistency: end < log.entries.length ? proveConsistency(end, log.entries.length, log.nodeAt) : [],
            },
          })
          first = false
        } while (sub.pos < log.entries.length)
      }
      if (!self.down)
        setTimeout(() => {
          ev.onOpen()
          send({ type: 'welcome', version: 1, name: 'mini.example', key, challenge: new Uint8Array(32) })
        })
      const handle = (frame: Uint8Array) => {
        self.bytes += frame.length
        const m = decodeReplicaMessage(frame)
        const log = logs.get(m.space)
        if (m.type === 'open') {
          if (!log)
            return send({
              type: 'reject',
              ref: m.ref,
              space: m.space,
              code: 'ERR_UNKNOWN_SPACE',
              message: '',
              position: 0,
              retryAfter: 0,
            })
          const old = mine.get(m.space)
          if (old) log.subs.delete(old)
          const sub = { pos: m.from, send }
          mine.set(m.space, sub)
          log.subs.add(sub)
          feed(m.space, log, sub, m.ref)
        } else if (m.type === 'pull') feed(m.space, log!, mine.get(m.space)!, m.ref)
        else if (m.type === 'push') {
          let pos = 0
          let l = log
          try {
            for (const e of m.entries) {
              const h = decodeHeader(e.header),
                hash = entryHash(e.header)
              if (isZero(h.space)) {
                if (logs.has(spaceIdOf(hash))) throw new SealogError('ERR_SPACE_EXISTS', '')
                l = new Log()
                logs.set(spaceIdOf(hash), l)
              }
              const lg = l!
              const r = applyHeader(lg.state, {
                header: h,
                hash,
                index: lg.entries.length,
                seenRoot: rootAt(h.seenSize, lg.nodeAt),
                controlBody: h.kind === 'control' ? e.body : undefined,
              })
              for (const n of appendNodes(lg.entries.length, hash, lg.nodeAt)) {
                const a = n as any
                lg.nodes.set(`${a.level ?? a[0]}/${a.index ?? a[1]}`, a.hash ?? a[2])
              }
              lg.state = r.state
              lg.entries.push({ ...e, body: e.body!, hash })
              pos++
            }
          } catch (x) {
            const c = x as SealogError
            console.log('reject', c.code, c.message, c.stack)
            send({
              type: 'reject',
              ref: m.ref,
              space: m.space,
              code: c.code ?? 'ERR_RELAY_INTERNAL',
              message: c.message ?? '',
              position: pos,
              retryAfter: 0,
            })
          }
          for (const sub of l?.subs ?? []) if (sub.pos < l!.entries.length) feed(m.space, l!, sub, 0)
        } else if (m.type === 'get-body')
          send({
            type: 'body-part',
            ref: m.ref,
            space: m.space,
            offset: m.offset,
            bytes: log!.entries[m.index]!.body.subarray(m.offset, m.offset + 200000),
          })
      }
      return {
        send: f => {
          setTimeout(() => open && handle(f))
        },
        close: () => {
          open = false
          self.cuts.delete(close)
        },
      }
    },
  }
  return self
}
