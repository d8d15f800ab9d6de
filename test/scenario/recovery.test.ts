import { afterEach, describe, expect, test } from 'vitest'
import { publicKeyOf } from '../../src/crypto/sign.ts'
import { type Note, openWorld, type World } from '../helpers/world.ts'

const TIMEOUT = { timeout: 60_000 }
let world: World
afterEach(() => world.close())

async function adaWithTwoSpaces() {
  world = await openWorld({ hurry: 0.2 })
  const ada = await world.open('ada')
  const first = await ada.createSpace({ name: 'Field notes' })
  const note = await first.createDocument<Note>({ title: 'Day 1', body: 'rain' }, { name: 'Day 1' })
  const second = await ada.createSpace({ name: 'Recipes' })
  await Promise.all([first.sync(), second.sync()])
  return { ada, first, second, note }
}

describe('a recovery phrase', () => {
  test('brings all spaces back on a blank machine, as a device of the same member', TIMEOUT, async () => {
    const { ada, first, second, note } = await adaWithTwoSpaces()
    const { phrase, failed } = await ada.createRecovery()
    expect(phrase.split(' ')).toHaveLength(24)
    expect(failed).toEqual([])
    expect(first.me.devices.map(({ name }) => name)).toContain('Recovery phrase')
    note.change(doc => {
      doc.body = 'sun'
    })
    await first.rotateKeys()
    await first.sync()
    await ada.close()

    const blank = await world.open('blank')
    const outcome = await blank.recover(phrase.toUpperCase())
    expect(outcome.failed).toEqual([])
    expect([...outcome.done].sort()).toEqual([first.id, second.id].sort())
    const again = await blank.openSpace(first.id)
    await again.sync()
    expect(again.name).toBe('Field notes')
    expect(again.me.id).toBe(first.me.id)
    const back = await again.openDocument<Note>(note.id)
    expect(back.doc().body).toBe('sun')
    back.change(doc => {
      doc.body = 'snow'
    })
    await again.sync()
    expect(again.me.devices).toHaveLength(3)
  })

  test('covers spaces that come later, and ends with the next phrase', TIMEOUT, async () => {
    const { ada } = await adaWithTwoSpaces()
    const { phrase } = await ada.createRecovery()
    const third = await ada.createSpace({ name: 'Third' })
    await expect.poll(async () => (await ada.recoveryState())?.missing, { timeout: 10_000 }).toEqual([])
    expect(third.me.devices).toHaveLength(2)
    const next = await ada.createRecovery()
    expect(next.failed).toEqual([])
    expect(third.me.devices).toHaveLength(2)
    const blank = await world.open('blank')
    expect((await blank.recover(phrase)).done).toEqual([])
    expect((await blank.recover(next.phrase)).done).toHaveLength(3)
  })

  test('that is none is told apart from one that nobody knows', TIMEOUT, async () => {
    world = await openWorld({ hurry: 0.2 })
    const blank = await world.open('blank')
    await expect(blank.recover('not a phrase')).rejects.toMatchObject({ code: 'ERR_PHRASE' })
    const other = `${'abandon '.repeat(23)}art`
    await expect(blank.recover(other)).rejects.toMatchObject({ code: 'ERR_UNKNOWN_MAILBOX' })
    expect(await blank.spaces()).toEqual([])
    expect(await blank.recoveryState()).toBeUndefined()
  })
})

describe('a link for one more device', () => {
  test('brings it into all spaces, once', TIMEOUT, async () => {
    const { ada, first, note } = await adaWithTwoSpaces()
    const link = await ada.linkDevice({ base: 'https://notes.example/app' })
    expect(link).toMatch(/^https:\/\/notes\.example\/app#device\./)
    const phone = await world.open('phone')
    const outcome = await phone.acceptLink(link)
    expect(outcome).toMatchObject({ failed: [] })
    expect(outcome.done).toHaveLength(2)
    const there = await phone.openSpace(first.id)
    await there.sync()
    expect(there.me.id).toBe(first.me.id)
    expect((await there.openDocument<Note>(note.id)).doc().title).toBe('Day 1')
    await first.sync()
    expect(first.me.devices).toHaveLength(2)
    expect(first.hasDevice(publicKeyOf(new Uint8Array(32)))).toBe(false)

    const thief = await world.open('thief')
    expect((await thief.acceptLink(link)).done).toEqual([])
    expect(await thief.spaces()).toEqual([])
  })
})
