// Builds elements. Text only ever goes in as text.
type Child = Node | string | number | null | undefined | false;

export function h<K extends keyof HTMLElementTagNameMap>(tag: K, attributes: Record<string, string | number | undefined | (() => void)>, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name, value);
    else if (value !== undefined && value !== '') element.setAttribute(name, String(value));
  }
  for (const child of children) if (child || child === 0) element.append(child instanceof Node ? child : String(child));
  return element;
}

export function hex(value: number, digits = 2): string {
  return '0x' + value.toString(16).padStart(digits, '0');
}

/** `+16`, `-8`, and nothing for 0. */
export function signed(value: number): string {
  return value > 0 ? `+${value}` : value < 0 ? `-${-value}` : '';
}

/** A line by its name, to be found again; nothing where code comes from no line. */
export function named(place: { file: string | null; line: number | null }): string | undefined {
  return place.file && place.line ? `${place.file}:${place.line}` : undefined;
}
