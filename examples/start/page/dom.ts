/** The element that the template marks as this part. @throws Error where the page and its code do not fit */
export function part<T extends HTMLElement>(root: ParentNode, name: string, type: new () => T): T {
  const element = root.querySelector(`[data-part="${name}"]`)
  if (!(element instanceof type)) throw new Error(`the page has no ${name}`)
  return element
}

/** How a line is meant: all well, something is under way, something is wrong. */
export type Tone = 'good' | 'wait' | 'bad'

/** Writes a line only where it changed, so that screen readers do not repeat it. */
export function say(element: HTMLElement, text: string, tone: Tone): void {
  if (element.textContent !== text) element.textContent = text
  element.dataset.tone = tone
}

/** What a field of a form holds, without space around it. */
export function fieldOf(form: HTMLFormElement, name: string): string {
  const value = new FormData(form).get(name)
  return typeof value === 'string' ? value.trim() : ''
}
