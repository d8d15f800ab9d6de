// Imports what its argument names and says `quiet`, or what the import did besides defining things.
const effects = new Set()

/** Everything an application could notice: the globals, and what hangs on the built-in ones. */
function surroundings() {
  const found = new Map()
  for (const name of Reflect.ownKeys(globalThis)) {
    // Node loads some of its globals when they are first read, and replaces them then.
    void globalThis[name]
    const descriptor = Reflect.getOwnPropertyDescriptor(globalThis, name)
    found.set(String(name), descriptor.value ?? descriptor.get)
    if (typeof descriptor.value !== 'function') continue
    const shared = descriptor.value.prototype
    for (const [label, holder] of [
      [String(name), descriptor.value],
      [`${String(name)}.prototype`, shared],
    ]) {
      if (holder === undefined || holder === null) continue
      for (const key of Reflect.ownKeys(holder)) {
        const own = Reflect.getOwnPropertyDescriptor(holder, key)
        found.set(`${label}.${String(key)}`, own.value ?? own.get)
      }
    }
  }
  return found
}

function watch(holder, name, label) {
  const original = holder[name]
  const replacement = new Proxy(original ?? class {}, {
    apply: (target, self, args) => {
      effects.add(label)
      return Reflect.apply(target, self, args)
    },
    construct: (target, args, newTarget) => {
      effects.add(label)
      return Reflect.construct(target, args, newTarget)
    },
  })
  Object.defineProperty(holder, name, { value: replacement, writable: true, configurable: true })
}

for (const name of ['fetch', 'WebSocket', 'BroadcastChannel', 'Worker', 'MessageChannel']) watch(globalThis, name, name)
for (const name of ['setTimeout', 'setInterval', 'setImmediate']) watch(globalThis, name, name)
for (const name of ['compile', 'instantiate', 'Module', 'Instance']) watch(WebAssembly, name, `WebAssembly.${name}`)
Object.defineProperty(globalThis, 'indexedDB', {
  configurable: true,
  get: () => {
    effects.add('indexedDB')
    return undefined
  },
})

const before = surroundings()
effects.clear()
const listeners = process.eventNames().length
await import(process.argv[2])
for (const [name, value] of surroundings()) if (!Object.is(before.get(name), value)) effects.add(`changed ${name}`)
if (process.eventNames().length !== listeners) effects.add('listens to the process')
for (const resource of process.getActiveResourcesInfo()) {
  if (!/^(PipeWrap|TTYWrap|FSReqPromise|FileHandle|CloseReq)$/.test(resource)) effects.add(`keeps ${resource}`)
}
console.log(effects.size === 0 ? 'quiet' : [...effects].join(', '))
