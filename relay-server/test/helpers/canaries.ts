/** What must not be found in some output, and what it is. */
export interface Canaries {
  /** Words of people: plaintext, names, tokens, passphrases. */
  text(what: string, text: string): void
  /** Keys and sealed bytes, in whatever form; at least 15 bytes. */
  bytes(what: string, bytes: Uint8Array): void
  readonly size: number
  /** @returns what was found, and as what */
  findIn(output: string): readonly string[]
}

/** Whole in a longer one, bytes stand in base64 as one of three texts, by where they begin. */
function base64Forms(bytes: Uint8Array): readonly string[] {
  return [0, 1, 2].flatMap(skipped => {
    const whole = bytes.subarray(skipped, skipped + 12)
    return [Buffer.from(whole).toString('base64'), Buffer.from(whole).toString('base64url')]
  })
}

/** Parts of a key count as the key: twelve bytes of it, from both ends. */
function formsOf(bytes: Uint8Array): readonly string[] {
  return [bytes.subarray(0, 15), bytes.subarray(-15)].flatMap(part => {
    const some = part.subarray(0, 12)
    const hex = Buffer.from(some).toString('hex')
    const fields = JSON.stringify(Object.fromEntries(some.entries())).slice(1, -1)
    return [hex, hex.toUpperCase(), some.join(','), some.join(', '), fields, ...base64Forms(part)]
  })
}

export function canaries(): Canaries {
  const needles = new Map<string, string>()
  return {
    text(what, text) {
      if (text.length < 8) throw new Error(`${what} is too short to be found by`)
      needles.set(text, what)
      needles.set(encodeURIComponent(text), what)
      for (const form of formsOf(Buffer.from(text.padEnd(15, '.')))) if (text.length >= 15) needles.set(form, what)
    },
    bytes(what, bytes) {
      if (bytes.length < 15) throw new Error(`${what} is too short to be found by`)
      for (const form of formsOf(bytes)) needles.set(form, what)
    },
    get size() {
      return needles.size
    },
    findIn: output =>
      [...needles].flatMap(([needle, what]) => (output.includes(needle) ? [`${what} as ${needle}`] : [])),
  }
}
