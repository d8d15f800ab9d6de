import { describeLies } from '../helpers/lie-matrix.ts'

describeLies(
  'a lie that anybody on the way could tell',
  ({ name, isSigned }) => !isSigned && !/^(flip-|2\^)/.test(name),
)
