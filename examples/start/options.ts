import { parseArgs } from 'node:util'

export const USAGE = `usage: npm start -- [--port N] [--host H] [--data DIR]

  --port N    where to listen, or the next free port (default: $PORT, else 8080)
  --host H    address to listen on (default 127.0.0.1)
  --data DIR  where relay and owner keep their data, which belong to one port (default: .demo/start-<port>)
`

export interface StartOptions {
  readonly port: number
  readonly host: string
  readonly data: string | undefined
}

/** @throws TypeError with a line for the user */
export function readOptions(args: readonly string[], portVariable: string | undefined): StartOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      port: { type: 'string', default: portVariable ?? '8080' },
      host: { type: 'string', default: '127.0.0.1' },
      data: { type: 'string' },
    },
  })
  const { port, host, data } = values
  if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535) throw new TypeError(`--port: no port number: ${port}`)
  return { port: Number(port), host, data }
}
