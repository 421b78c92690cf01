// The page of all web views: draws what the host sends, and says which line was clicked.
import type { Said, Show } from '../src/views/page';
import { alternatives } from './alternatives';
import { h } from './dom';
import { frame } from './frame';
import { cfi, orc } from './listing';

const host = acquireVsCodeApi();
const page = document.getElementById('page') as HTMLElement;

export type Go = (file: string | null, line: number | null) => (() => void) | undefined;

/** What a click does on something that comes from a line. */
const leads: Go = (file, line) => file && line ? () => host.postMessage({ kind: 'go', file, line } satisfies Said) : undefined;

function draw(show: Show): HTMLElement[] {
  switch (show.kind) {
    case 'alternatives': return alternatives(show.groups, leads);
    case 'orc': return [orc(show.rows, leads)];
    case 'cfi': return [cfi(show.instructions, leads)];
    case 'frame': return [frame(show.instructions)];
    case 'nothing': return [h('p', { class: 'nothing' }, show.why)];
    case 'line': return [];
  }
}

/** Marks what comes from the cursor's line, and brings it into sight. */
function mark(file: string, line: number): void {
  for (const old of page.querySelectorAll('.here')) old.classList.remove('here');
  const found = page.querySelectorAll<HTMLElement>(`[data-place="${CSS.escape(`${file}:${line}`)}"]`);
  for (const each of found) each.classList.add('here');
  // Only up and down: what is wide stays where the reader has moved it.
  const { scrollLeft } = document.documentElement;
  found[0]?.scrollIntoView({ block: 'nearest' });
  document.documentElement.scrollLeft = scrollLeft;
}

window.addEventListener('message', (event: MessageEvent<Show>) => {
  const show = event.data;
  if (show.kind !== 'line') page.replaceChildren(...draw(show));
  if (show.kind !== 'nothing' && show.kind !== 'frame') mark(show.file, show.line);
});
host.postMessage({ kind: 'ready' } satisfies Said);
