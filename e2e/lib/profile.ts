import { join } from 'node:path'
import { type BrowserContext, type CDPSession, chromium, type Page } from 'playwright-core'
import { chromiumArguments } from './chromium.ts'
import { Wire } from './wire.ts'

/** What the relay is called in every profile; each finds it at the end of its own wire. */
const RELAY_HOST = 'relay.test'
export const RELAY_URL: string = `ws://${RELAY_HOST}`

export interface ProfileOptions {
  readonly executable: string
  /** Folder of the profile's data, created. */
  readonly folder: string
  readonly relayPort: number
}

/** One browser profile, with databases of its own and a way to the relay of its own. */
export class Profile {
  readonly name: string
  readonly wire: Wire
  /** What its pages complained about. */
  readonly complaints: string[] = []
  readonly #context: BrowserContext
  #closing: Promise<void> | undefined

  private constructor(name: string, wire: Wire, context: BrowserContext) {
    this.name = name
    this.wire = wire
    this.#context = context
  }

  static async launch(name: string, { executable, folder, relayPort }: ProfileOptions): Promise<Profile> {
    const wire = await Wire.open(relayPort)
    const rules = `MAP ${RELAY_HOST} 127.0.0.1:${wire.port}`
    try {
      const context = await chromium.launchPersistentContext(join(folder, name), {
        executablePath: executable,
        args: chromiumArguments([`--host-resolver-rules=${rules}`]),
        // The run ends its browsers itself, with everything else that it started.
        handleSIGINT: false,
        handleSIGTERM: false,
        handleSIGHUP: false,
      })
      return new Profile(name, wire, context)
    } catch (error) {
      await wire.close()
      throw error
    }
  }

  /** A new tab. What goes wrong in it without anybody catching it is a complaint. */
  async open(url: string): Promise<Page> {
    const page = await this.#context.newPage()
    page.on('pageerror', error => this.complaints.push(`${this.name}: ${error.stack ?? error.message}`))
    await page.goto(url)
    return page
  }

  devtools(page: Page): Promise<CDPSession> {
    return this.#context.newCDPSession(page)
  }

  /** Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#context.close().finally(() => this.wire.close())
    return this.#closing
  }
}
