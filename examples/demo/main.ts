// The demonstration: two devices write real documents through a relay that they need not trust.
import { rmSync } from 'node:fs'
import { chooseHistories, type Histories } from './histories.ts'
import { type DemoOptions, readOptions, USAGE } from './options.ts'
import { brokenPromises, type Findings, toJson } from './report.ts'
import { type Stage, setStage } from './stage.ts'
import { searchForPlaintext } from './step-blind.ts'
import { surviveKills } from './step-kills.ts'
import { meet } from './step-meet.ts'
import { resistTampering } from './step-tamper.ts'
import { sameHeads, typeAndCatchUp, typeTogether } from './step-write.ts'
import { drawTable } from './table.ts'

/** Exit status of a process that was asked to stop, as shells have it. */
const INTERRUPTED = 130

async function play(stage: Stage, histories: Histories, start: number): Promise<Findings> {
  const space = await told('1  Two devices meet', () => meet(stage))
  const typed = await told('2  A types while B is away; B comes back', () => typeAndCatchUp(stage, histories.one))
  const together = await told('   Both type at once', () => typeTogether(stage, histories.two))
  const survived = await told('3  The relay and B are killed in the middle of it', () => surviveKills(stage, space))
  const notes = [typed.document, together.document]
  const searched = await told('4  What left the devices is searched', () => searchForPlaintext(stage, notes, histories))
  const resisted = await told('5  Somebody in between lies to B', () => resistTampering(stage, typed.document))
  const { a, b } = stage
  await a.ask.sync()
  await b.ask.sync()
  const entries = (await b.ask.status()).confirmed.size
  const isSame = await haveSameDocuments(stage, [...notes, survived.document])
  await told('6  All of them stop orderly', async () => {
    await Promise.all([a.stop(), b.stop()])
    await stage.relay.stop()
  })
  const seconds = (performance.now() - start) / 1000
  return { histories, typed, together, survived, searched, resisted, entries, isSame, seconds }
}

async function haveSameDocuments({ a, b }: Stage, documents: readonly string[]): Promise<boolean> {
  for (const document of documents) {
    const heads = await Promise.all([a.ask.heads(document), b.ask.heads(document)])
    if (!sameHeads(...heads)) return false
  }
  return true
}

async function told<T>(title: string, step: () => Promise<T>): Promise<T> {
  const start = performance.now()
  process.stdout.write(`  ${title.padEnd(52, ' ')} `)
  const result = await step()
  process.stdout.write(`${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s\n`)
  return result
}

async function run(options: DemoOptions): Promise<void> {
  const start = performance.now()
  let folder: string | undefined
  let stage: Stage | undefined
  const remove = (): void => {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  }
  const interrupt = (): void => {
    // Comes after the handlers that end the other processes.
    process.once('exit', remove)
    process.exit(INTERRUPTED)
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt)
  try {
    const histories = chooseHistories(options.edits, options.trace)
    console.log('\n  Sealog: two devices, and between them a relay that can read nothing and prove everything\n')
    stage = await setStage(created => {
      folder = created
    })
    const findings = await play(stage, histories, start)
    console.log(`\n${drawTable(findings)}\n`)
    for (const sentence of brokenPromises(findings)) fail(sentence)
    if (options.json) console.log(JSON.stringify(toJson(findings)))
  } catch (error) {
    fail(error instanceof Error ? error.message : String(error))
  } finally {
    await stage?.end()
    if (process.exitCode === undefined) remove()
    else if (folder !== undefined) console.error(`  Logs and data are in ${folder}`)
  }
}

function fail(sentence: string): void {
  console.error(`\n✗ ${sentence}`)
  process.exitCode = 1
}

function optionsOrUsage(): DemoOptions | undefined {
  try {
    return readOptions(process.argv.slice(2))
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    process.exitCode = 2
    return undefined
  }
}

const options = optionsOrUsage()
if (options !== undefined) await run(options)
