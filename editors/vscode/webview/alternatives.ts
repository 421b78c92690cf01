// Alternatives, arms side by side: a row per byte offset at which an instruction of an arm begins.
import type { AlternativeGroup } from '../src/protocol';
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

function draw(group: AlternativeGroup, leads: Go): HTMLElement {
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
    h('td', { class: 'state' }, row.conflict ? '✗ conflict' : row.state ?? ''));
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
