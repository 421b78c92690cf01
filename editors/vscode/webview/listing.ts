// The ORC table, and the states of a function.
import type { Cfa, CfiRow, OrcRow } from '../src/protocol';
import { h, hex, named, signed } from './dom';
import type { Go } from './page';

export function orc(rows: OrcRow[], leads: Go): HTMLElement {
  return h('table', { class: 'listing' },
    head('place', 'from here on', 'line'),
    h('tbody', {}, ...rows.map((entry, at) => {
      const first = entry.function !== null && entry.function !== rows[at - 1]?.function;
      return h('tr', { class: first ? 'first' : '', 'data-place': named(entry) },
        h('td', {}, first && h('div', { class: 'function' }, entry.function), h('span', { class: 'offset' }, `${entry.section}+${hex(entry.offset)}`)),
        h('td', {}, h('code', {}, entry.text)),
        line(entry, leads));
    })));
}

export function cfi(instructions: CfiRow[], leads: Go): HTMLElement {
  return h('table', { class: 'listing' },
    head('offset', 'instruction', 'CFA before', 'saved', 'line'),
    h('tbody', {}, ...instructions.flatMap((row, at) => {
      const before = instructions[at - 1];
      const first = row.function !== before?.function;
      const rows = first ? [h('tr', { class: 'first' }, h('td', { colspan: 5 }, h('span', { class: 'function' }, row.function ?? row.section)))] : [];
      const changed = !first && name(row.cfa) !== name(before?.cfa ?? null);
      return [...rows, h('tr', { 'data-place': named(row), title: row.orc ?? undefined },
        h('td', { class: 'offset' }, hex(row.offset)),
        h('td', {}, h('code', {}, row.text)),
        h('td', { class: changed ? 'changed' : '' }, name(row.cfa)),
        h('td', { class: 'saved' }, Object.entries(row.saved).map(([register, offset]) => `${register} cfa${signed(offset)}`).join(', ')),
        line(row, leads))];
    })));
}

function name(cfa: Cfa | null): string {
  return cfa ? `${cfa.base}${signed(cfa.offset)}` : 'unknown';
}

function head(...names: string[]): HTMLElement {
  return h('thead', {}, h('tr', {}, ...names.map(each => h('th', {}, each))));
}

function line(place: { file: string | null; line: number | null }, leads: Go): HTMLElement {
  const click = leads(place.file, place.line);
  return h('td', { class: 'line' }, h('a', { click, class: click && 'link', title: place.file ?? undefined }, place.line ?? ''));
}
