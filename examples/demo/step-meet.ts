import { SPACE_NAME, type Stage } from './stage.ts'

/** 1. A makes a space; B, which has nothing but a link, joins it. @returns the space's id */
export async function meet({ a, b }: Stage): Promise<string> {
  const space = await a.ask.createSpace(SPACE_NAME)
  const joined = await b.ask.join(await a.ask.invite())
  if (joined !== space) throw new Error('B joined another space than the one it was invited to')
  await a.ask.sync()
  return space
}
