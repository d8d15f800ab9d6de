// Writers that fill a space of their own as fast as the relay takes it, until nobody wants them any more.
import { parseArgs } from 'node:util'
import { fromHex } from 'sealog/protocol'
import { AuthoredSpace } from './relay-author.ts'
import { Client } from './relay-client.ts'

const WRITERS = 20
const BODY = 1000

const { values } = parseArgs({
  options: { url: { type: 'string' }, name: { type: 'string' }, key: { type: 'string' } },
})
const { url = '', name = '', key = '' } = values
const space = new AuthoredSpace({ name, key: fromHex(key) })

async function write(client: Client, writer: number): Promise<void> {
  for (;;) {
    client.prepare(space, writer, 1, BODY)
    await client.pushNext()
  }
}

process.on('disconnect', () => process.exit())
const clients = await Promise.all(Array.from({ length: WRITERS }, () => Client.connect(url)))
await clients[0]?.create(space)
for (const client of clients) await client.open(space)
process.send?.('ready')
await Promise.all(clients.map(write))
