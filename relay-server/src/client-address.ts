import { BlockList, isIPv4, isIPv6 } from 'node:net'

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/**
 * What a client address is counted under: an IPv4 address as it is, of an IPv6 address the first 64 bits, which is what
 * one customer gets and may choose from as it likes. Undefined, and so not counted, is what is no address, and the
 * relay's own machine: whoever comes from there is a proxy that does not say for whom it speaks, and limits meant for
 * one client would be shared by all of them.
 */
export function addressKey(address: string | undefined): string | undefined {
  if (address === undefined) return undefined
  const [bare = ''] = address.split('%')
  const plain = MAPPED.exec(bare)?.[1] ?? bare
  if (isIPv4(plain)) return LOOPBACK.check(plain, 'ipv4') ? undefined : plain
  if (!isIPv6(plain) || LOOPBACK.check(plain, 'ipv6')) return undefined
  return `${networkOf(plain)}/64`
}

/** The first four groups of an IPv6 address, in hex without leading zeros. */
function networkOf(address: string): string {
  const [left = '', right] = address.toLowerCase().split('::')
  const before = groupsOf(left)
  const after = right === undefined ? [] : groupsOf(right)
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0')
  return [...before, ...zeros, ...after]
    .slice(0, 4)
    .map(group => Number.parseInt(group, 16).toString(16))
    .join(':')
}

/** An IPv4 address at the end stands for two groups; they never reach into the first four. */
function groupsOf(part: string): readonly string[] {
  if (part === '') return []
  return part.split(':').flatMap(group => (group.includes('.') ? ['0', '0'] : [group]))
}
