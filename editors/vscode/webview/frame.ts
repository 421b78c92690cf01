// The stack frame at a line: slots from high addresses to low ones, with what the states say is in them.
import type { CfiRow } from '../src/protocol';
import { h, signed } from './dom';

interface Slot { top: number; bytes: number; text: string; kind: 'caller' | 'return' | 'saved' | 'other' }

export function frame(instructions: CfiRow[]): HTMLElement {
  const row = instructions[0]!;
  const title = h('p', { class: 'summary' }, h('code', {}, row.text),
    instructions.length > 1 && ` and ${instructions.length - 1} more on this line`);
  if (!row.cfa) return h('div', {}, title, h('p', { class: 'nothing' }, 'The stack state here is not known.'));
  const { base, offset } = row.cfa;
  // Where registers point, as offsets from the CFA.
  const marks = new Map<number, string[]>();
  const point = (at: number, name: string) => marks.set(at, [...marks.get(at) ?? [], name]);
  point(0, 'CFA');
  point(-offset, base);
  const after = instructions.at(-1)!.cfa_after;
  if (after && after.base === base && after.offset !== offset) point(-after.offset, `${base} after`);
  const lowest = Math.min(-8, ...marks.keys(), ...Object.values(row.saved));
  const edges = (at: number) => marks.get(at)?.join(', ') ?? '';
  return h('div', {}, title,
    h('table', { class: 'frame' },
      h('tbody', {}, ...slots(row, lowest, [...marks.keys()]).map(slot => h('tr', { class: slot.kind },
        h('td', { class: 'at' }, slot.kind === 'caller' ? '' : `CFA${signed(slot.top - slot.bytes)}`),
        h('td', { class: 'slot', style: undefined }, slot.text),
        h('td', { class: 'mark' }, edges(slot.top - slot.bytes) && `← ${edges(slot.top - slot.bytes)}`))))),
    h('p', { class: 'words' }, `CFA = ${base}${signed(offset)}`),
    row.orc && h('p', { class: 'words' }, h('code', {}, row.orc)));
}

/** The frame cut at every place that has a name. */
function slots(row: CfiRow, lowest: number, marked: number[]): Slot[] {
  const names = new Map<number, string>([[-8, 'return address']]);
  for (const [register, at] of Object.entries(row.saved)) if (register !== 'ra') names.set(at, `saved ${register}`);
  const cuts = new Set([lowest, ...names.keys(), ...marked]);
  for (const at of names.keys()) cuts.add(at + 8);
  const sorted = [...cuts].filter(at => at <= 0 && at >= lowest).sort((a, b) => b - a);
  const out: Slot[] = [{ top: 8, bytes: 8, text: 'the caller’s frame', kind: 'caller' }];
  for (let i = 0; i + 1 < sorted.length; i++) {
    const top = sorted[i]!, bottom = sorted[i + 1]!, name = names.get(bottom);
    out.push({ top, bytes: top - bottom, text: name ?? `${top - bottom} bytes`, kind: bottom === -8 ? 'return' : name ? 'saved' : 'other' });
  }
  return out;
}
