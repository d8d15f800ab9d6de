import { parseArgs } from 'node:util'
import type { CommandArguments, CommandFlags } from './command.ts'
import { BY_FLAG, flagOf, LIMITS, limitFlagOf, SETTINGS, type Setting, type Settings } from './config-settings.ts'
import type { Limits } from './limits.ts'

export const ENVIRONMENT_PREFIX = 'SEALOG_RELAY_'
const CONFIG_VARIABLE = `${ENVIRONMENT_PREFIX}CONFIG`

export interface ConfigInput {
  /** Without the name of the command. */
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly readFile: (path: string) => string
  /** Flags that one command has besides the settings. */
  readonly ownFlags?: CommandFlags
}

/** Where a value is from. */
export type ConfigSource = 'flag' | 'environment' | 'file' | 'default'

export interface Config {
  readonly settings: Settings
  readonly limits: Limits
  /** By flag. */
  readonly values: ReadonlyMap<string, { readonly value: unknown; readonly source: ConfigSource }>
  /** What was given of the command's own flags. */
  readonly own: CommandArguments
  readonly wants: 'run' | 'help' | 'print'
}

type Texts = Map<string, { readonly text: string; readonly source: ConfigSource; readonly from: string }>

/**
 * Settings from flags, before those from the environment, before those from the file of `--config`, before defaults.
 * @throws TypeError that names setting and source, and shows no value
 */
export function readConfig({ args, env, readFile, ownFlags = {} }: ConfigInput): Config {
  const { flags, own, configFile, wants } = readFlags(args, ownFlags)
  const texts: Texts = new Map()
  const path = configFile ?? env[CONFIG_VARIABLE]
  if (path !== undefined && (path !== '' || configFile !== undefined)) {
    takeFile(texts, path, readFile, configFile === undefined ? CONFIG_VARIABLE : '--config')
  }
  takeEnvironment(texts, env)
  for (const [flag, text] of flags) texts.set(flag, { text, source: 'flag', from: `--${flag}` })
  const values = new Map([...BY_FLAG].map(([flag, setting]) => [flag, settledValue(texts, flag, setting)]))
  const valuesOf = (names: readonly string[], flag: (name: string) => string) =>
    Object.fromEntries(names.map(name => [name, values.get(flag(name))?.value]))
  return {
    settings: valuesOf(Object.keys(SETTINGS), flagOf) as unknown as Settings,
    limits: valuesOf(Object.keys(LIMITS), limitFlagOf) as unknown as Limits,
    values,
    own,
    wants,
  }
}

function settledValue(texts: Texts, flag: string, setting: Setting<unknown>): { value: unknown; source: ConfigSource } {
  const given = texts.get(flag)
  if (given === undefined) return { value: setting.fallback, source: 'default' }
  try {
    return { value: setting.parse(given.text), source: given.source }
  } catch (error) {
    throw new TypeError(`${given.from}: ${error instanceof Error ? error.message : 'no such value'}`)
  }
}

function readFlags(args: readonly string[], ownFlags: CommandFlags) {
  const isSwitch = (flag: string) => BY_FLAG.get(flag)?.placeholder === '' || ownFlags[flag] === 'switch'
  const names = [...BY_FLAG.keys(), ...Object.keys(ownFlags), 'config']
  const options = Object.fromEntries(
    names.map(name => [name, { type: isSwitch(name) ? ('boolean' as const) : ('string' as const) }]),
  )
  const switches = { help: { type: 'boolean' as const }, 'print-config': { type: 'boolean' as const } }
  const { values } = parseArgs({ args: [...args], options: { ...options, ...switches } }) as {
    readonly values: Readonly<Record<string, string | boolean | undefined>>
  }
  const flags = new Map<string, string>()
  const own: Record<string, string | boolean> = {}
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue
    if (name in ownFlags) own[name] = value
    else if (BY_FLAG.has(name)) flags.set(name, String(value))
  }
  const { config } = values
  const wants = values.help === true ? 'help' : values['print-config'] === true ? 'print' : 'run'
  return { flags, own, configFile: typeof config === 'string' ? config : undefined, wants } as const
}

/** An empty variable is one that is not set: there is no other way to unset one in many files of that kind. */
function takeEnvironment(texts: Texts, env: ConfigInput['env']): void {
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(ENVIRONMENT_PREFIX) || text === undefined || text === '') continue
    const flag = variable.slice(ENVIRONMENT_PREFIX.length).toLowerCase().replaceAll('_', '-')
    if (flag === 'config') continue
    if (!BY_FLAG.has(flag)) throw new TypeError(`${variable}: there is no such setting`)
    texts.set(flag, { text, source: 'environment', from: variable })
  }
}

/** @param named what named the file */
function takeFile(texts: Texts, path: string, readFile: ConfigInput['readFile'], named: string): void {
  for (const [flag, value] of Object.entries(readObject(path, readFile, named))) {
    const from = `${path}: "${flag}"`
    if (!BY_FLAG.has(flag)) throw new TypeError(`${from}: there is no such setting`)
    texts.set(flag, { text: textOf(value, from), source: 'file', from })
  }
}

function readObject(path: string, readFile: ConfigInput['readFile'], named: string): object {
  let content: string
  try {
    content = readFile(path)
  } catch (error) {
    throw new TypeError(`${named}: ${error instanceof Error ? error.message : path}`)
  }
  try {
    const value: unknown = JSON.parse(content)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value
  } catch {
    // What the parser says would quote the content.
  }
  throw new TypeError(`${path}: expected one JSON object`)
}

function textOf(value: unknown, from: string): string {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (Array.isArray(value) && value.every(each => typeof each === 'string')) return value.join(',')
  throw new TypeError(`${from}: expected text, a number, true or false, or a list of texts`)
}
