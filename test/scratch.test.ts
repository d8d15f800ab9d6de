import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { expect, it } from 'vitest'
import * as Automerge from '@automerge/automerge/slim'
import { concat, equalBytes, fromHex, toHex } from '../src/bytes.ts'
import { ensureWasm } from '../src/crdt/wasm.ts'
import { memoryStore } from '../src/crdt/store-memory.ts'
import { defaultVerifier, nobleSigningKey } from '../src/crypto/sign-backend.ts'
import { signSync } from '../src/crypto/sign.ts'
import { platformEnvironment } from '../src/environment-platform.ts'
import { SealogError } from '../src/errors.ts'
import { decodeReplicaMessage, encodeMessage, type RelayMessage } from '../src/relay/messages.ts'
import type { Connection, ConnectionEvents, Transport } from '../src/relay/transport.ts'
import { Replica } from '../src/replica.ts'
import { encodeNote, encodeNoteText, originOf } from '../src/verify/checkpoint.ts'
import { appendLeaf, emptyRange, rootOf } from '../src/verify/compact-range.ts'
import { decodeHeader, entryHash } from '../src/verify/entry.ts'
import { noteKeyHash } from '../src/verify/note-key.ts'
import { appendNodes, proveConsistency, rootAt } from '../src/verify/prove.ts'
import { applyHeader } from '../src/verify/reducer.ts'
import { stateRoot, type SpaceState } from '../src/verify/state.ts'
import { isZero } from '../src/bytes.ts'
import { spaceIdOf, type SpaceId } from '../src/ids.ts'

class Log {
  entries: { header: Uint8Array; signature: Uint8Array; body: Uint8Array; hash: Uint8Array }[] = []
  nodes = new Map<string, Uint8Array>()
  state: SpaceState | undefined
  subs = new Set<{ pos: number; send(m: RelayMessage): void }>()
  nodeAt = (l: number, i: number) => this.nodes.get(`${l}/${i}`) as Uint8Array
}
export function miniRelay(): Transport & { logs: Map<string, Log>; bytes: number } {
  const seed = crypto.getRandomValues(new Uint8Array(32))
  const key = nobleSigningKey(seed).publicKey
  const logs = new Map<string, Log>()
  const self = {
    logs,
    bytes: 0,
    connect(_url: string, ev: ConnectionEvents): Connection {
      let open = true
      const mine = new Map<string, { pos: number; send(m: RelayMessage): void }>()
      const send = (m: RelayMessage) => { const f = encodeMessage(m); self.bytes += f.length; setTimeout(() => open && ev.onFrame(f)) }
      const note = (space: SpaceId, log: Log) => {
        const origin = originOf('mini.example', space)
        const cp = { origin, size: log.entries.length, root: rootAt(log.entries.length, log.nodeAt), stateRoot: stateRoot(log.state!), time: Date.now() }
        return encodeNote(cp, [{ name: origin, keyHash: noteKeyHash(origin, key), signature: signSync(seed, encodeNoteText(cp)) }])
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
          sub.send({ type: 'sync', ref: first ? ref : 0, space, batch: {
            from, entries: es, note: n,
            seenProofs: [...sizes].map(size => ({ size, proof: proveConsistency(size, from, log.nodeAt) })),
            consistency: end < log.entries.length ? proveConsistency(end, log.entries.length, log.nodeAt) : [],
          } })
          first = false
        } while (sub.pos < log.entries.length)
      }
      setTimeout(() => { ev.onOpen(); send({ type: 'welcome', version: 1, name: 'mini.example', key, challenge: new Uint8Array(32) }) })
      const handle = (frame: Uint8Array) => {
        self.bytes += frame.length
        const m = decodeReplicaMessage(frame)
        const log = logs.get(m.space)
        if (m.type === 'open') {
          if (!log) return send({ type: 'reject', ref: m.ref, space: m.space, code: 'ERR_UNKNOWN_SPACE', message: '', position: 0, retryAfter: 0 })
          const old = mine.get(m.space); if (old) log.subs.delete(old)
          const sub = { pos: m.from, send }
          mine.set(m.space, sub); log.subs.add(sub); feed(m.space, log, sub, m.ref)
        } else if (m.type === 'pull') feed(m.space, log!, mine.get(m.space)!, m.ref)
        else if (m.type === 'push') {
          let pos = 0
          let l = log
          try {
            for (const e of m.entries) {
              const h = decodeHeader(e.header), hash = entryHash(e.header)
              if (isZero(h.space)) { if (logs.has(spaceIdOf(hash))) throw new SealogError('ERR_SPACE_EXISTS', ''); l = new Log(); logs.set(spaceIdOf(hash), l) }
              const lg = l!
              const r = applyHeader(lg.state, { header: h, hash, index: lg.entries.length, seenRoot: rootAt(h.seenSize, lg.nodeAt), controlBody: h.kind === 'control' ? e.body : undefined })
              for (const n of appendNodes(lg.entries.length, hash, lg.nodeAt)) { const a = n as any; lg.nodes.set(`${a.level ?? a[0]}/${a.index ?? a[1]}`, a.hash ?? a[2]) }
              lg.state = r.state; lg.entries.push({ ...e, body: e.body!, hash }); pos++
            }
          } catch (x) { const c = x as SealogError; console.log('reject', c.code, c.message, c.stack); send({ type: 'reject', ref: m.ref, space: m.space, code: c.code ?? 'ERR_RELAY_INTERNAL', message: c.message ?? '', position: pos, retryAfter: 0 }) }
          for (const sub of l?.subs ?? []) if (sub.pos < l!.entries.length) feed(m.space, l!, sub, 0)
        } else if (m.type === 'get-body') send({ type: 'body-part', ref: m.ref, space: m.space, offset: m.offset, bytes: log!.entries[m.index]!.body.subarray(m.offset, m.offset + 200000) })
      }
      return { send: f => { setTimeout(() => open && handle(f)) }, close: () => { open = false } }
    },
  }
  return self
}

it('works end to end', async () => {
  await ensureWasm(() => readFile(createRequire(import.meta.url).resolve('@automerge/automerge/automerge.wasm')))
  const transport = miniRelay()
  const platform = { transport, environment: platformEnvironment(), verifier: await defaultVerifier() }
  const a = await Replica.open({ store: memoryStore(), relay: 'ws://x', profile: { name: 'Ann' } }, platform)
  const space = await a.createSpace({ name: 'Field notes' })
  space.on('problem', e => console.log('A problem', e.problem))
  const note = await space.createDocument({ title: '', body: '' }, { name: 'Day 1' })
  note.change(d => { d.title = 'Day 1' })
  for (let i = 0; i < 300; i++) note.change(d => { Automerge.splice(d, ['body'], i, 0, 'x') })
  try { await space.sync({ timeout: 5000 }) } catch (e) { console.log(space.status, space.problems); throw e }
  console.log(space.status, note.receipt.state, space.members(), space.name)
  const link = await space.invite({ timeout: 5000 })
  console.log(link.length, await a.previewInvite(link))
  const b = await Replica.open({ store: memoryStore(), relay: 'ws://x', profile: { name: 'Bob' } }, platform)
  const sb = await b.joinSpace(link, { timeout: 5000 })
  console.log(sb.status, sb.problems, sb.members(), sb.name, sb.documents())
  const nb = await sb.openDocument<{ title: string; body: string }>(note.id)
  expect(nb.doc()).toEqual(note.doc())
  nb.change(d => { d.title = 'Bob was here' })
  for (let i = 0; i < 100; i++) { note.change(d => { Automerge.splice(d, ['body'], 0, 0, 'A') }); nb.change(d => { Automerge.splice(d, ['body'], 5, 0, 'B') }); if (i % 10 === 0) await new Promise(r => setTimeout(r, 10)) }
  await sb.sync({ timeout: 5000 }); await space.sync({ timeout: 5000 }); await sb.sync({ timeout: 5000 })
  expect(nb.doc()).toEqual(note.doc())
  console.log(nb.doc().body.length, nb.doc().title, sb.status, sb.problems, [...transport.logs.values()][0]!.entries.length)
  await a.close(); await b.close()
})
