import { nobleVerifier, selectVerifier } from 'sealog/protocol'
import { checkWycheproofEd25519, type WycheproofEd25519 } from '../../test/vectors/ed25519-cases.ts'
