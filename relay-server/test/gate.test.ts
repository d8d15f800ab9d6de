import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hasCode, type SpaceId } from 'sealog/protocol'
import { describe, expect, onTestFinished, test } from 'vitest'
import { BucketTable } from '../src/bucket-table.ts'
import { addressKey } from '../src/client-address.ts'
import type { CreationPolicy } from '../src/creation-policy.ts'
import { Gate } from '../src/gate.ts'
import { DEFAULT_LIMITS, type Limits } from '../src/limits.ts'
import type { LogRecord } from '../src/log-record.ts'
import { hourlyRate, rateOf, TokenBucket } from '../src/token-bucket.ts'
import { testEnvironment } from './helpers/environment.ts'
import { until } from './helpers/replica.ts'

const SPACE = 'ab'.repeat(32) as SpaceId
const ADDRESS = '203.0.113.7'

function gated(limits: Partial<Limits> = {}, creation?: CreationPolicy, spaces: readonly SpaceId[] = []) {
  const environment = testEnvironment()
  const records: LogRecord[] = []
  const store = {
    async readSpaces(after: SpaceId | undefined, limit: number) {
      return spaces.filter(space => after === undefined || space > after).slice(0, limit)
    },
  }
  const log = (record: LogRecord): void => void records.push(record)
  const gate = new Gate({
    name: 'relay.test',
    limits: { ...DEFAULT_LIMITS, ...limits },
    environment,
    log,
    store,
    creation,
  })
  return { gate, environment, records }
}

function codeOf(run: () => unknown): [code: string, retryAfter: number | undefined] | 'allowed' {
  try {
    run()
    return 'allowed'
  } catch (error) {
    if (hasCode(error, 'ERR_RATE_LIMITED') || hasCode(error, 'ERR_QUOTA')) return [error.code, error.details.retryAfter]
    throw error
  }
}

describe('a bucket', () => {
  const rate = { perSecond: 10, capacity: 20 }

  test('gives what it holds at once, and then its rate; it may be overdrawn by one request, which is paid for', () => {
    const bucket = new TokenBucket(rate, 0)
    bucket.take(19, rate, 0)
    expect(bucket.wait(rate, 0)).toBe(0)
    bucket.take(11, rate, 0)
    expect(bucket.wait(rate, 0)).toBe(1001)
    expect(bucket.wait(rate, 1000)).toBe(1)
    expect(bucket.wait(rate, 1001)).toBe(0)
  })

  test('is never in debt by more than it holds, and holds no more however long it waits', () => {
    const bucket = new TokenBucket(rate, 0)
    bucket.take(1_000_000, rate, 0)
    expect(bucket.wait(rate, 0)).toBe(2001)
    bucket.take(20, rate, 1_000_000)
    expect(bucket.wait(rate, 1_000_000)).toBe(1)
  })

  test('gains nothing by a clock that goes back and forth', () => {
    const bucket = new TokenBucket(rate, 10_000)
    bucket.take(30, rate, 10_000)
    for (let i = 0; i < 10; i++) {
      expect(bucket.wait(rate, 0)).toBe(1001)
      expect(bucket.wait(rate, 10_000)).toBe(1001)
    }
  })

  test('of rate 0 is no limit', () => {
    expect([rateOf(0, 1000), hourlyRate(0)]).toEqual([undefined, undefined])
    expect(rateOf(5, 2000)).toEqual({ perSecond: 5, capacity: 10 })
    expect(hourlyRate(7200)).toEqual({ perSecond: 2, capacity: 7200 })
  })
})

describe('a table of buckets', () => {
  test('is bounded, whatever keys come', () => {
    const table = new BucketTable({ perSecond: 1, capacity: 1 }, () => 0, 100)
    for (let i = 0; i < 1000; i++) table.take(`key ${i}`, 1)
    expect(table.size).toBe(100)
    expect(table.wait('key 999')).toBe(1)
  })

  test('empties by itself: a bucket that is full again is as good as none', () => {
    let now = 0
    const table = new BucketTable({ perSecond: 1, capacity: 1 }, () => now, 100)
    for (let i = 0; i < 50; i++) table.take(`key ${i}`, 1)
    now = 10_000
    for (let i = 0; i < 50; i++) table.take('busy', 0.01)
    expect(table.size).toBe(1)
  })

  test('forgets whoever was idle for longest, not whoever is at it', () => {
    const table = new BucketTable({ perSecond: 0.001, capacity: 1 }, () => 0, 3)
    for (const key of ['a', 'b', 'c', 'a', 'd']) table.take(key, 2)
    expect(['a', 'b', 'c', 'd'].map(key => table.wait(key) > 0)).toEqual([true, false, true, true])
  })
})

describe('a client address', () => {
  test('of IPv6 counts by its first 64 bits', () => {
    const same = [
      '2001:db8:1:2::1',
      '2001:db8:1:2:ffff:ffff:ffff:ffff',
      '2001:0DB8:0001:0002:0:0:0:9',
      '2001:db8:1:2::%eth0',
    ]
    expect(new Set(same.map(addressKey))).toEqual(new Set(['2001:db8:1:2/64']))
    expect(addressKey('2001:db8:1:3::1')).toBe('2001:db8:1:3/64')
    expect(addressKey('2001:db8::1')).toBe('2001:db8:0:0/64')
    expect(addressKey('64:ff9b::203.0.113.7')).toBe('64:ff9b:0:0/64')
  })

  test('of IPv4 counts as it is, also as a mapped one', () => {
    expect(addressKey(ADDRESS)).toBe(ADDRESS)
    expect(addressKey(`::ffff:${ADDRESS}`)).toBe(ADDRESS)
  })

  test('that is none, or of this machine, does not count', () => {
    for (const none of [undefined, '', 'relay.test', '127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) {
      expect(addressKey(none)).toBeUndefined()
    }
  })
})

describe('sockets', () => {
  test('are limited in total and by address; an end makes room', () => {
    const { gate } = gated({ sockets: 4, socketsPerAddress: 2 })
    const passes = ['2001:db8::1', '2001:db8::2', ADDRESS].map(address => gate.enter(address, () => {}))
    expect(gate.admitSocket('2001:db8::3')).toBe('address')
    expect(gate.admitSocket('2001:db8:0:1::3')).toBeUndefined()
    gate.enter('198.51.100.1', () => {})
    expect(gate.admitSocket(ADDRESS)).toBe('full')
    passes[0]?.release()
    passes[0]?.release()
    expect(gate.admitSocket('2001:db8::3')).toBeUndefined()
    gate.enter('2001:db8::3', () => {})
    expect(gate.admitSocket(ADDRESS)).toBe('full')
  })

  test('on which nobody has authenticated make way, the oldest first; others never do', () => {
    const { gate } = gated({ unauthenticatedSockets: 2 })
    const ended: string[] = []
    const enter = (name: string) => gate.enter(undefined, () => ended.push(name))
    enter('known').authenticated()
    enter('a')
    enter('b')
    expect(ended).toEqual([])
    enter('c')
    enter('d').release()
    enter('e')
    expect(ended).toEqual(['a', 'b'])
  })

  test('before that, may send so much each, and beyond it so much together', () => {
    const { gate } = gated({ unauthenticatedBytes: 1000, unauthenticatedTotal: 5000 })
    const [a, b] = [gate.enter(undefined, () => {}), gate.enter(undefined, () => {})]
    expect([a.received(1000), b.received(1000), a.received(5000)]).toEqual([true, true, true])
    expect(b.received(2001)).toBe(false)
    expect(b.received(2000)).toBe(true)
    a.authenticated()
    expect(a.received(1e9)).toBe(true)
    expect(b.received(6000)).toBe(true)
    b.release()
    expect(gate.enter(undefined, () => {}).received(6000)).toBe(true)
  })

  test('none of them may send more than two frames, however much room there is', () => {
    const { gate } = gated({ unauthenticatedTotal: 1e9 })
    expect(gate.enter(undefined, () => {}).received(3 * 1024 * 1024)).toBe(false)
  })
})

describe('what comes to nothing', () => {
  test('is limited by address; what succeeds does not count', () => {
    const { gate, environment } = gated({ failuresPerAddress: 1, burstTime: 3000 })
    for (let i = 0; i < 100; i++) gate.attempt(ADDRESS).succeeded()
    for (let i = 0; i < 3; i++) gate.attempt(ADDRESS)
    expect(codeOf(() => gate.attempt(ADDRESS))).toEqual(['ERR_RATE_LIMITED', 1])
    expect(codeOf(() => gate.attempt('198.51.100.1'))).toBe('allowed')
    expect(codeOf(() => gate.attempt('127.0.0.1'))).toBe('allowed')
    environment.advance(1001)
    expect(codeOf(() => gate.attempt(ADDRESS))).toBe('allowed')
  })
})

describe('a new space', () => {
  const request = { space: SPACE, address: ADDRESS, token: undefined }
  const refusalOf = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'allowed',
      error => error.code,
    )

  test('is limited by address and hour; one that did not come about does not count', async () => {
    const { gate, environment } = gated({ spacesPerAddress: 2 })
    for (let i = 0; i < 5; i++) (await gate.create(request)).failed()
    await gate.create(request)
    await gate.create(request)
    expect(await refusalOf(gate.create(request))).toBe('ERR_RATE_LIMITED')
    expect(await refusalOf(gate.create({ ...request, address: '198.51.100.1' }))).toBe('allowed')
    environment.advance(31 * 60_000)
    expect(await refusalOf(gate.create(request))).toBe('allowed')
  })

  test('is refused where there are as many as there may be, counted anew after a while', async () => {
    const spaces = Array.from({ length: 2500 }, (_, i) => i.toString(16).padStart(64, '0') as SpaceId)
    const { gate, environment } = gated({ spaces: 2502 }, undefined, spaces)
    await gate.create(request)
    ;(await gate.create(request)).failed()
    await gate.create(request)
    await expect(gate.create(request)).rejects.toMatchObject({ code: 'ERR_QUOTA', retryable: false })
    spaces.length = 10
    environment.advance(61_000)
    expect(await refusalOf(gate.create(request))).toBe('allowed')
  })

  test('takes one of the tokens where there are such', async () => {
    const tokens = ['a token of sixteen', 'another token of more']
    const { gate } = gated({ spacesPerAddress: 2 }, { kind: 'tokens', tokens })
    for (const token of [undefined, '', 'a token of sixteeN', 'a token of sixteen ']) {
      await expect(gate.create({ ...request, token })).rejects.toMatchObject({
        code: 'ERR_UNAUTHORIZED',
        details: { reason: 'admission' },
      })
    }
    for (const token of tokens) expect(await refusalOf(gate.create({ ...request, token }))).toBe('allowed')
  })

  test('is never admitted by a policy that cannot work', () => {
    const policies: CreationPolicy[] = [
      { kind: 'tokens', tokens: [] },
      { kind: 'tokens', tokens: ['short'] },
      { kind: 'tokens', tokens: ['x'.repeat(257)] },
      { kind: 'webhook', url: 'not an address', secret: 's' },
      { kind: 'webhook', url: 'file:///etc/passwd', secret: 's' },
      { kind: 'webhook', url: 'https://user:password@example.org/', secret: 's' },
      { kind: 'webhook', url: 'https://example.org/', secret: '' },
    ]
    for (const policy of policies) expect(() => gated({}, policy)).toThrow(TypeError)
  })
})

describe('a webhook', () => {
  const SECRET = 'the secret of the webhook'

  async function asked(answer: (request: IncomingMessage, response: ServerResponse, body: string) => void) {
    const server = createServer((incoming, response) => {
      let body = ''
      incoming.on('data', chunk => {
        body += chunk
      })
      incoming.on('end', () => answer(incoming, response, body))
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => {
      server.closeAllConnections()
      server.close()
    })
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/spaces`
    return gated({ spacesPerAddress: 0 }, { kind: 'webhook', url, secret: SECRET })
  }

  const ask = (gate: Gate, token?: string): Promise<string> =>
    gate.create({ space: SPACE, address: ADDRESS, token }).then(
      () => 'allowed',
      error => error.code,
    )

  test('is asked who wants to create what, and can tell that it is this relay that asks', async () => {
    const questions: unknown[] = []
    const { gate, environment } = await asked((incoming, response, body) => {
      const expected = createHmac('sha256', SECRET).update(body).digest('hex')
      expect(incoming.headers['sealog-signature']).toBe(`sha256=${expected}`)
      expect([incoming.method, incoming.headers['content-type']]).toEqual(['POST', 'application/json'])
      questions.push(JSON.parse(body))
      response.statusCode = 204
      response.end()
    })
    expect(await ask(gate, 'a token')).toBe('allowed')
    expect(await ask(gate)).toBe('allowed')
    const common = { relay: 'relay.test', space: SPACE, address: ADDRESS, time: environment.now() }
    expect(questions).toEqual([{ ...common, token: 'a token' }, common])
  })

  test.each([
    [200, 'allowed'],
    [403, 'ERR_UNAUTHORIZED'],
    [302, 'ERR_RATE_LIMITED'],
    [401, 'ERR_RATE_LIMITED'],
    [500, 'ERR_RATE_LIMITED'],
  ])('that answers %i', async (status, expected) => {
    let questions = 0
    const { gate, records } = await asked((_, response) => {
      questions++
      response.writeHead(status, { location: '/elsewhere' }).end()
    })
    expect(await ask(gate, 'a secret token')).toBe(expected)
    expect(questions).toBe(1)
    expect(JSON.stringify(records)).not.toContain('token')
  })

  test('that is not there, or says nothing, lets nobody in; later it may', async () => {
    const { gate, environment } = await asked(() => {})
    const silent = ask(gate)
    await new Promise(resolve => setTimeout(resolve, 50))
    environment.advance(5001)
    expect(await silent).toBe('ERR_RATE_LIMITED')
    const nobody = gated({}, { kind: 'webhook', url: 'http://127.0.0.1:1/', secret: SECRET })
    await expect(nobody.gate.create({ space: SPACE, address: ADDRESS, token: undefined })).rejects.toMatchObject({
      code: 'ERR_RATE_LIMITED',
      details: { retryAfter: 10_000 },
    })
  })

  test('is asked so much at once and no more, and whoever waits has a turn', async () => {
    let isHeld = true
    let most = 0
    const held: ServerResponse[] = []
    const { gate } = await asked((_, response) => {
      held.push(response)
      most = Math.max(most, held.length)
      if (!isHeld) for (const each of held.splice(0)) each.end()
    })
    const answers = Array.from({ length: 100 }, () => ask(gate))
    await until(() => held.length >= 8, 'the questions')
    await new Promise(resolve => setTimeout(resolve, 100))
    expect(most).toBe(8)
    isHeld = false
    for (const each of held.splice(0)) each.end()
    const outcomes = await Promise.all(answers)
    expect(outcomes.filter(outcome => outcome === 'allowed').length).toBe(72)
    expect(outcomes.filter(outcome => outcome === 'ERR_RATE_LIMITED').length).toBe(28)
  })
})

describe('a read that is paid for before it is made (R-QUOTA-5)', () => {
  test('gives back what it did not cost, and never more than was taken', () => {
    const { gate, environment } = gated({ readBytesPerDevice: 10_000, burstTime: 1000 })
    const next = () => codeOf(() => gate.read(SPACE, 1, 0))
    gate.charge(SPACE, 1, 9_000).settle(5_000)
    // Of the 5,000 that are left and the 10,000 that may be overdrawn, all is taken, and all of it was used.
    const large = gate.charge(SPACE, 1, 1_000_000)
    expect(next()).toEqual(['ERR_RATE_LIMITED', 1001])
    large.settle(15_000)
    expect(next()).toEqual(['ERR_RATE_LIMITED', 1001])
    expect(codeOf(() => gate.charge(SPACE, 1, 1))).toEqual(['ERR_RATE_LIMITED', 1001])
    environment.advance(1001)
    expect(next()).toBe('allowed')
    // What nobody foresaw is paid for, too; and nobody else pays.
    gate.charge(SPACE, 1, 0).settle(5_010)
    expect(next()).toEqual(['ERR_RATE_LIMITED', 501])
    expect(codeOf(() => gate.charge(SPACE, 2, 1))).toBe('allowed')
  })
})
