import { join } from 'node:path'
import { NodeProcess } from './child-process.ts'
import { PROJECT } from './project.ts'

export interface RelayProcess {
  readonly port: number
  stop(): Promise<number | null>
}

/** Starts the relay by its command on a free port. @param data its folder, created */
export async function startRelayProcess(data: string): Promise<RelayProcess> {
  const command = join(PROJECT, 'relay-server/bin/sealog-relay.js')
  const args = ['--data', data, '--port', '0', '--name', 'relay.test', '--quiet']
  const relay = await NodeProcess.start(command, args, /ws:\/\/.*\n/)
  const port = /ws:\/\/\S+?:(\d+)/.exec(relay.output)?.[1]
  return { port: Number(port), stop: () => relay.stop() }
}
