import { describeLies } from '../helpers/lie-matrix.ts'

describeLies('one bit that is another', ({ name }) => name.startsWith('flip-'))
