// The demonstration: two devices write real documents through a relay that they need not trust.

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
  const histories = chooseHistories(options.edits, options.trace)
  let folder = ''
  let stage: Stage | undefined
  try {
    stage = await setStage(created => {
      folder = created
    })
    const findings = await play(stage, histories, start)
    const broken = brokenPromises(findings)
    console.log(`\n${drawTable(findings)}\n`)
    for (const sentence of broken) console.error(`✗ ${sentence}`)
    if (broken.length > 0) process.exitCode = 1
    if (options.json) console.log(JSON.stringify(toJson(findings)))
  } catch (error) {
    console.error(`\n✗ ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  } finally {
    await stage?.end()
    if (process.exitCode === 1) console.error(`  Logs and data are in ${folder}`)
    else stage?.remove()
  }
}

function main(): Promise<void> | undefined {
  try {
    return run(readOptions(process.argv.slice(2)))
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`)
    process.exitCode = 2
    return undefined
  }
}

console.log('\n  Sealog: two devices, and between them a relay that can read nothing and prove everything\n')
await main()
