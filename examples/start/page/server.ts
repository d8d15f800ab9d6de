// What the page asks the process that serves it; everything else goes through the replicas.

/** Which space this demonstration is about, and where its relay is. */
export interface Demo {
  readonly space: string
  readonly relay: string
}

export async function fetchDemo(): Promise<Demo> {
  return answer(await fetch('/demo'))
}

/** A fresh invite for one device. The process gives it to pages on its own machine only. */
export async function fetchInvite(): Promise<string> {
  const { link } = await answer<{ link: string }>(await fetch('/invite', { method: 'POST' }))
  return link
}

async function answer<T>(response: Response): Promise<T> {
  if (!response.ok) throw new Error(await response.text())
  return response.json()
}
