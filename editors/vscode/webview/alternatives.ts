// Alternatives, arms side by side: a row per byte offset at which an instruction of an arm begins.
import type { AlternativeGroup, AlternativeRow } from '../src/protocol';
import { h, hex, named } from './dom';
import type { Go } from './page';

export function alternatives(groups: AlternativeGroup[], leads: Go): HTMLElement[] {
  if (!groups.length) return [h('p', { class: 'nothing' }, 'This file has no alternatives.')];
  // Those with a conflict are what the reader came for.
  const bad = (group: AlternativeGroup) => group.rows.some(row => row.conflict);
  const conflicts = groups.filter(bad).length;
  const count = `${groups.length} ${groups.length === 1 ? 'alternative' : 'alternatives'}`;
  return [
    h('p', { class: conflicts ? 'summary bad' : 'summary' }, conflicts ? `${count}, ${conflicts} with a conflict` : `${count}, no conflict`),
    ...[...groups.filter(bad), ...groups.filter(group => !bad(group))].map(group => draw(group, leads)),
  ];
}

function draw(whole: AlternativeGroup, leads: Go): HTMLElement {
  const group = { ...whole, rows: folded(whole.rows) };
  const place = leads(group.file, group.line);
  const name = group.file?.replace(/^.*\//, '');
  return h('section', { class: 'group', 'data-place': named(group) },
    h('h2', {},
      h('span', { class: 'function' }, group.function ?? group.section),
      h('a', { click: place, class: place && 'link' }, name && group.line ? `${name}:${group.line}` : `${group.section}+${hex(group.offset)}`)),
    h('div', { class: 'scroll' }, h('table', { class: 'arms' },
      h('thead', {}, h('tr', {},
        h('th', { class: 'offset' }, 'offset'),
        ...group.arms.map(arm => h('th', {}, arm.name)),
        h('th', { class: 'state' }, 'state before'))),
      h('tbody', {}, ...group.rows.map((_, at) => row(group, at, leads))))));
}

function row(group: AlternativeGroup, at: number, leads: Go): HTMLElement {
  const row = group.rows[at]!;
  const cells = row.cells.map((text, arm) => {
    if (text === null) return at && extent(group, at - 1, arm) ? null : h('td', { class: 'empty' });
    const place = row.places[arm];
    const click = place ? leads(place.file, place.line) : undefined;
    // Only arms with an instruction boundary here can disagree.
    return h('td', { class: row.conflict ? 'insn conflict' : 'insn', rowspan: span(group, at, arm), 'data-place': place ? named(place) : undefined },
      h('code', { click, class: click && 'link', title: click && `line ${place?.line}` }, text),
      row.conflict && row.states?.[arm] && h('div', { class: 'conflicting' }, row.states[arm]));
  });
  return h('tr', { class: row.conflict ? 'conflict' : '' },
    h('th', { class: 'offset' }, hex(row.offset)), ...cells,
    h('td', { class: 'state', title: row.state ?? undefined }, row.conflict ? '✗ conflict' : change(group.rows[at - 1], row)));
}

/** Runs of rows in which every arm only has padding, as one row. */
function folded(rows: AlternativeRow[]): AlternativeRow[] {
  const idle = (row: AlternativeRow) => !row.conflict && row.cells.every(text => text === null || /^nop/.test(text));
  const kept: AlternativeRow[] = [];
  for (let at = 0; at < rows.length;) {
    let end = at;
    while (end < rows.length && idle(rows[end]!) && rows[end]!.state === rows[at]!.state) end++;
    const first = rows[at]!;
    if (end - at < 2) {
      kept.push(first);
      at++;
      continue;
    }
    const counts = first.cells.map((_, arm) => rows.slice(at, end).filter(row => row.cells[arm] !== null).length);
    const cells = counts.map((count, arm) => count > 1 ? `${count} NOPs` : rows.slice(at, end).find(row => row.cells[arm] !== null)?.cells[arm] ?? null);
    kept.push({ ...first, cells });
    at = end;
  }
  return kept;
}

/** A state as what it changes: the first one whole, then only what is new or gone. */
function change(before: AlternativeRow | undefined, row: AlternativeRow): string {
  if (!before?.state || !row.state) return row.state ?? '';
  const [old, now] = [before.state.split(', '), row.state.split(', ')];
  const fresh = now.filter(part => !old.includes(part));
  const name = (part: string) => part.split(' ')[0];
  const gone = old.filter(part => !now.some(other => name(other) === name(part))).map(part => `${name(part)} restored`);
  return [...fresh, ...gone].join(', ');
}

/** How many rows the instruction at this row lasts: up to the next one of its arm. */
function span(group: AlternativeGroup, at: number, arm: number): number {
  let rows = 1;
  while (at + rows < group.rows.length && group.rows[at + rows]!.cells[arm] === null) rows++;
  return rows;
}

/** Whether an instruction of the arm begins at this row or before it. */
function extent(group: AlternativeGroup, at: number, arm: number): boolean {
  return group.rows.slice(0, at + 1).some(row => row.cells[arm] !== null);
}
