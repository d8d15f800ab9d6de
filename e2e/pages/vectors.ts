import { nobleVerifier, type SignatureVerifier, selectVerifier } from 'sealog/protocol'
import { checkWycheproofEd25519, type WycheproofEd25519 } from '../../test/vectors/ed25519-cases.ts'
import { checkWycheproofXChaCha, type WycheproofAead } from '../../test/vectors/xchacha20-poly1305-cases.ts'

type Ed25519Report = Awaited<ReturnType<typeof checkWycheproofEd25519>>

export interface VectorsPage {
  judgeEd25519(json: string): Promise<{
    /** Which backend the library chooses in this browser. */
    readonly backend: SignatureVerifier['backend']
    readonly chosen: Ed25519Report
    readonly noble: Ed25519Report
  }>
  judgeXChaCha(json: string): ReturnType<typeof checkWycheproofXChaCha>
}

declare global {
  /** What `vectors.html` offers to its driver. */
  var vectorsPage: VectorsPage
}

globalThis.vectorsPage = {
  async judgeEd25519(text) {
    const json: WycheproofEd25519 = JSON.parse(text)
    const verifier = await selectVerifier()
    const [chosen, noble] = [
      await checkWycheproofEd25519(json, verifier),
      await checkWycheproofEd25519(json, nobleVerifier),
    ]
    return { backend: verifier.backend, chosen, noble }
  },
  judgeXChaCha(text) {
    const json: WycheproofAead = JSON.parse(text)
    return checkWycheproofXChaCha(json)
  },
}
