// Imports what its argument names and says `quiet`, or what the import did besides defining things.
const effects = new Set()

/** Everything an application could notice: the globals, and what hangs on the built-in ones. */
function surroundings() {
  const found = new Map()
  for (const name of Reflect.ownKeys(globalThis)) {
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

function countListeners() {
  return process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
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

// Node loads some of its globals when they are first read: that is over before anything is watched.
for (const name of Reflect.ownKeys(globalThis)) void globalThis[name]
await new Promise(resolve => setTimeout(resolve, 50))

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
const listeners = countListeners()
effects.clear()
await import(process.argv[2])
await new Promise(resolve => queueMicrotask(resolve))
const resources = process.getActiveResourcesInfo()
const during = [...effects]
for (const [name, value] of surroundings()) if (!Object.is(before.get(name), value)) during.push(`changed ${name}`)
if (countListeners() !== listeners) during.push('listens to the process')
for (const resource of resources) {
  if (!/^(PipeWrap|TTYWrap|FSReqPromise|FileHandle|CloseReq)$/.test(resource)) during.push(`keeps ${resource}`)
}
console.log(during.length === 0 ? 'quiet' : during.join(', '))
