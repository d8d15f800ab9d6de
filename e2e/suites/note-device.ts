import type { Page } from 'playwright-core'
import { type Profile, RELAY_URL } from '../lib/profile.ts'
import { within } from '../lib/within.ts'
import type { Look } from '../pages/note-session.ts'
import type {} from '../pages/notes.ts'
import { expect, expectEqual } from './world.ts'

/** A replica in a tab: what a person with this browser would do with the note. */
export class NoteDevice {
  readonly profile: Profile
  readonly #name: string
  #page: Page

  private constructor(profile: Profile, name: string, page: Page) {
    this.profile = profile
    this.#name = name
    this.#page = page
  }

  /** Opens the notes page of `site` in a new tab. */
  static async open(profile: Profile, name: string, site: string): Promise<NoteDevice> {
    const device = new NoteDevice(profile, name, await profile.open(`${site}/notes.html`))
    await device.#start()
    return device
  }

  get page(): Page {
    return this.#page
  }

  /** Loads the page again; what it had in memory is gone. */
  async reload(): Promise<void> {
    await this.#page.reload()
    await this.#start()
  }

  async #start(): Promise<void> {
    await this.#page.waitForFunction(() => 'notesPage' in globalThis)
    await this.#page.evaluate(([relay, name]) => notesPage.start('notes', relay, name), [
      RELAY_URL,
      this.#name,
    ] as const)
  }

  create(): Promise<void> {
    return this.#page.evaluate(() => notesPage.session.create())
  }

  invite(): Promise<string> {
    return this.#page.evaluate(() => notesPage.session.invite())
  }

  join(link: string): Promise<void> {
    return this.#page.evaluate(link => notesPage.session.join(link), link)
  }

  /** Writes `count` words that nobody else writes, `share` of the way through the text. */
  async write(series: string, count: number, share: number): Promise<readonly string[]> {
    const words = wordsOf(series, count)
    await this.#page.evaluate(([words, share]) => notesPage.session.write(words, share, 5), [words, share] as const)
    return words
  }

  saved(): Promise<void> {
    return this.#page.evaluate(() => notesPage.session.saved())
  }

  sync(): Promise<void> {
    return this.#page.evaluate(() => notesPage.session.sync())
  }

  look(): Promise<Look> {
    return within(
      10_000,
      this.#page.evaluate(() => notesPage.session.look()),
    )
  }

  close(): Promise<void> {
    return this.#page.close()
  }
}

/** Words that name their author and number, so that one that is lost or doubled can be named. */
export function wordsOf(series: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, number) => `<${series}${number}>`)
}

/** Every word is in the text once. @throws Error that names the first one that is not */
export function expectOnce(text: string, words: readonly string[]): void {
  for (const word of words) expectEqual(text.split(word).length - 1, 1, `${word} is in the note once`)
}

/** All devices hold the same note, down to its last change, and nobody complains. */
export function expectConverged(looks: readonly Look[]): void {
  const [first] = looks
  for (const look of looks) {
    expectEqual(look.text, first?.text, 'equal texts')
    expectEqual(look.heads, first?.heads, 'equal heads')
    expectEqual(look.waiting, 0, 'nothing waits')
    expectEqual(look.problems, [], 'no problems')
  }
  expect((first?.heads.length ?? 0) > 0, 'there is a note')
}
