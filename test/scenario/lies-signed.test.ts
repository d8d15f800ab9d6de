import { describeLies } from '../helpers/lie-matrix.ts'

describeLies('a lie under the signature of the relay', ({ isSigned }) => isSigned)
