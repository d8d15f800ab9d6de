import { isIP } from 'node:net'

/**
 * The address of a client that comes through `hops` proxies, each of which appends to `X-Forwarded-For` whom it got the
 * request from: the entry that the outermost of them wrote. Everything to the left of it is the client's own word.
 * @param socketAddress who is connected
 * @param hops 0: there is no proxy, and the header is not looked at
 * @returns an IP address; undefined where there is none, as on a socket that is closed already
 */
export function forwardedAddress(
  socketAddress: string | undefined,
  forwardedFor: string | undefined,
  hops: number,
): string | undefined {
  const direct = ipAddress(socketAddress)
  if (hops === 0 || forwardedFor === undefined) return direct
  const entries = forwardedFor.split(',')
  // With fewer entries than proxies, whoever wrote the first of them was not asked by another one.
  return ipAddress(entries[Math.max(0, entries.length - hops)]) ?? direct
}

/** Some proxies write a port behind the address. */
function ipAddress(entry: string | undefined): string | undefined {
  const text = entry?.trim() ?? ''
  const address = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text
  return isIP(address) === 0 ? undefined : address
}
