import { describeLies } from '../helpers/lie-matrix.ts'

describeLies('a number that is too large', ({ name }) => name.startsWith('2^'))
