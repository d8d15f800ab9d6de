// Runs one example of the documentation to its end, with what a browser would give it: IndexedDB and WebSocket.
import 'fake-indexeddb/auto'
import { pathToFileURL } from 'node:url'
import WebSocket from 'ws'

globalThis.WebSocket ??= WebSocket
await import(pathToFileURL(process.argv[2]).href)
// An example need not close what it opened; a reader's page does not end after it either.
process.exit()
