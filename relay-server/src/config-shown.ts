import type { Command } from './command.ts'
import { type Config, ENVIRONMENT_PREFIX } from './config.ts'
import { BY_FLAG, type Setting } from './config-settings.ts'
import { shownPlace } from './config-values.ts'

const COLUMN = 36

/**
 * The whole configuration as JSON: of each setting its value and where it is from. Secrets are not in it, but whether
 * they are set; of the URL of a database neither user nor password.
 */
export function printedConfig({ values }: Config): string {
  const shown = [...values].map(([flag, { value, source }]) => [flag, { value: shownValue(flag, value), source }])
  return `${JSON.stringify(Object.fromEntries(shown), undefined, 2)}\n`
}

function shownValue(flag: string, value: unknown): unknown {
  if (value === undefined) return null
  if (BY_FLAG.get(flag)?.isSecret) return Array.isArray(value) && value.length === 0 ? [] : '…'
  if (typeof value === 'string') return flag === 'webhook-url' ? withoutSecrets(value) : shownPlace(value)
  if (typeof value !== 'object' || value === null || !('kind' in value)) return value
  const place = value as { readonly kind: string; readonly file?: string; readonly url?: string }
  return place.url === undefined ? `sqlite:${place.file}` : shownPlace(place.url)
}

/** Of a web address what says who is asked: path and query may be what lets one ask. */
function withoutSecrets(url: string): string {
  return `${new URL(url).origin}/…`
}

/** @param commands their names and a sentence for each */
export function usageOf(commands: Readonly<Record<string, string>>): string {
  const settings = [...BY_FLAG].filter(([flag]) => !flag.startsWith('limit-'))
  const limits = [...BY_FLAG].filter(([flag]) => flag.startsWith('limit-'))
  return [
    'usage: sealog-relay [serve] --data DIR --port N --name relay.example [settings]',
    '       sealog-relay COMMAND [settings]',
    '',
    'Commands (COMMAND --help says more):',
    ...Object.entries(commands).map(([name, help]) => row(name, help)),
    '',
    `Settings: each is a flag --some-name, a variable ${ENVIRONMENT_PREFIX}SOME_NAME, or "some-name" in the file --config.`,
    'Flags count before variables, variables before the file.',
    '',
    ...settings.map(settingRow),
    row('--config FILE', 'a JSON object with settings'),
    row('--print-config', 'show all settings and where they are from, without secrets, and end'),
    row('--help', 'this text'),
    '',
    'Limits, as each process counts. Of quotas, 0 stands for none.',
    '',
    ...limits.map(settingRow),
    '',
  ].join('\n')
}

/** The usage of one command. */
export function commandUsage({ name, flags, help }: Command): string {
  const own = Object.entries(flags).map(([flag, kind]) => (kind === 'text' ? `[--${flag} …]` : `[--${flag}]`))
  return [
    `usage: ${['sealog-relay', name, ...own].join(' ')} [settings]`,
    '',
    ...help,
    '',
    'Which relay is meant is said by --store or --data, --heads, --schema and --key, as for the relay itself: see',
    'sealog-relay --help.',
    '',
  ].join('\n')
}

function settingRow([flag, { placeholder, help, fallback }]: readonly [string, Setting<unknown>]): string {
  const isWorthSaying = typeof fallback === 'number' || (typeof fallback === 'string' && fallback !== '')
  return row(`--${flag} ${placeholder}`.trim(), isWorthSaying ? `${help} (default ${fallback})` : help)
}

function row(left: string, right: string): string {
  const gap = left.length + 2 < COLUMN ? left.padEnd(COLUMN - 2) : `${left}\n${' '.repeat(COLUMN)}`
  return `  ${gap}${right}`
}
