// The stack frame at a line, from high addresses to low ones.
import type { CfiRow, Slot } from '../src/protocol';
import { h, signed } from './dom';

const WORD = 8;

export function frame(instructions: CfiRow[]): HTMLElement {
  const row = instructions[0]!;
  const more = instructions.length - 1;
  const title = h('p', { class: 'summary' }, 'before ', h('code', {}, row.text), more > 0 && ` (and ${more} more on this line)`);
  if (!row.cfa || !row.frame?.length) return h('div', {}, title, h('p', { class: 'nothing' }, 'The stack state here is not known.'));
  const { cfa, cfa_after: after } = row;
  const changes = after && (after.base !== cfa.base || after.offset !== cfa.offset);
  return h('div', {}, title,
    h('table', { class: 'frame' }, h('tbody', {}, ...rows(row.frame))),
    h('p', { class: 'words' }, 'CFA = ', h('code', {}, `${cfa.base}${signed(cfa.offset)}`),
      changes && ', after it ', changes && h('code', {}, `${after.base}${signed(after.offset)}`)),
    row.orc && h('p', { class: 'words' }, 'ORC ', h('code', {}, row.orc)));
}

function rows(slots: Slot[]): HTMLElement[] {
  const out: HTMLElement[] = [];
  let next: number | undefined;
  for (const { offset, holds, pointers } of slots) {
    if (next !== undefined && next > offset) out.push(word('gap', '', `${next - offset} bytes`, ''));
    const kind = offset >= 0 ? 'caller' : holds.includes('return address') ? 'return' : holds.length ? 'saved' : 'gap';
    out.push(word(kind, offset ? `CFA${signed(offset)}` : 'CFA', holds.join(', '), pointers.length ? `← ${pointers.join(', ')}` : ''));
    // A pointer alone says nothing about the word that it points to.
    next = holds.length ? offset - WORD : offset;
    if (offset >= 0) next = -WORD;
  }
  return out;
}

function word(kind: string, at: string, text: string, mark: string): HTMLElement {
  return h('tr', { class: kind }, h('td', { class: 'at' }, at), h('td', { class: 'slot' }, text), h('td', { class: 'mark' }, mark));
}
