import { describe, expect, it } from 'vitest'
import { Turns } from '../../src/crdt/turns.ts'

/** Tasks that note when they begin and end, and end when they are told to. */
function recorder() {
  const log: string[] = []
  const ends = new Map<string, () => void>()
  const task = (name: string) => () => {
    log.push(`${name} begins`)
    return new Promise<string>(resolve => {
      ends.set(name, () => {
        log.push(`${name} ends`)
        resolve(name)
      })
    })
  }
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.()
    await new Promise(resolve => setTimeout(resolve, 0))
  }
  return { log, task, end }
}

describe('turns', () => {
  it('begin at once, and side by side, while nothing runs alone', () => {
    const { log, task } = recorder()
    const turns = new Turns()
    void turns.shared(task('a'))
    void turns.shared(task('b'))
    expect(log).toEqual(['a begins', 'b begins'])
  })

  it('a task that runs alone waits for all before it, and all after it wait for it, in order', async () => {
    const { log, task, end } = recorder()
    const turns = new Turns()
    const results = [
      turns.shared(task('a')),
      turns.shared(task('b')),
      turns.alone(task('X')),
      turns.shared(task('c')),
      turns.shared(task('d')),
      turns.alone(task('Y')),
      turns.shared(task('e')),
    ]
    await end('b')
    expect(log).toEqual(['a begins', 'b begins', 'b ends'])
    await end('a')
    expect(log.slice(3)).toEqual(['a ends', 'X begins'])
    await end('X')
    expect(log.slice(5)).toEqual(['X ends', 'c begins', 'd begins'])
    await end('d')
    await end('c')
    expect(log.slice(8)).toEqual(['d ends', 'c ends', 'Y begins'])
    await end('Y')
    expect(log.slice(11)).toEqual(['Y ends', 'e begins'])
    await end('e')
    expect(await Promise.all(results)).toEqual(['a', 'b', 'X', 'c', 'd', 'Y', 'e'])
  })

  it('what waited for a task that ran alone begins before what is called when it has ended', async () => {
    const order: string[] = []
    const turns = new Turns()
    const alone = turns.alone(async () => {})
    const late = alone.then(() => turns.shared(async () => void order.push('late')))
    for (const name of ['first', 'second']) void turns.shared(async () => void order.push(name))
    await late
    expect(order).toEqual(['first', 'second', 'late'])
  })

  it('a task that fails stops nobody', async () => {
    const turns = new Turns()
    const fail = async (): Promise<never> => {
      throw new Error('failed')
    }
    const outcomes = await Promise.allSettled([
      turns.shared(fail),
      turns.alone(fail),
      turns.alone(async () => 1),
      turns.shared(async () => 2),
    ])
    expect(outcomes.map(outcome => outcome.status)).toEqual(['rejected', 'rejected', 'fulfilled', 'fulfilled'])
  })
})
