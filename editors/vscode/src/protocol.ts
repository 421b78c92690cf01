// The requests that orcls adds to the protocol. The shapes are those of docs/schema/.
import { NotificationType, RequestType, type Position, type TextDocumentIdentifier } from 'vscode-languageclient/node';

export interface AboutFile { textDocument: TextDocumentIdentifier; position?: Position }

export interface Place { file: string | null; line: number | null }

export interface Cfa { base: string; offset: number }

/** A word of the frame; `offset` counts from the CFA. */
export interface Slot { offset: number; holds: string[]; pointers: string[] }

export interface CfiRow extends Place {
  section: string; offset: number; length: number; bytes: string; text: string; function: string | null;
  cfa: Cfa | null; cfa_after: Cfa | null; saved: Record<string, number>; orc: string | null; frame?: Slot[];
}
export interface CfiListing { object: string; instructions: CfiRow[] }

export interface OrcRow extends Place { section: string; offset: number; function: string | null; text: string }
export interface OrcListing { object: string; rows: OrcRow[] | null }

export interface AlternativeRow {
  offset: number; cells: (string | null)[]; places: (Place | null)[];
  state: string | null; conflict: boolean; states?: (string | null)[];
}
export interface AlternativeGroup extends Place {
  section: string; offset: number; length: number; feature: string; function: string | null;
  arms: { name: string }[]; rows: AlternativeRow[];
}
export interface Alternatives { object: string; groups: AlternativeGroup[] }

export interface ExpandedLine { text: string; depth: number; macro: string; file: string; line: number; cfa: string | null }
export interface Expansion { name: string; statement: string; text: string; lines: ExpandedLine[]; cut: boolean }

export type State = 'analysing' | 'fresh' | 'stale' | 'not-checked' | 'no-command' | 'untrusted' | 'off';
export interface Status {
  state: State; message: string; notes?: string[];
  /** The built object of the file, and the folder that its compiler was run in. */
  object?: string | null; directory?: string | null;
  [detail: string]: unknown;
}

export const CfiRequest = new RequestType<AboutFile, CfiListing | null, void>('orcls/cfi');
export const OrcRequest = new RequestType<AboutFile, OrcListing | null, void>('orcls/orc');
export const AlternativesRequest = new RequestType<AboutFile, Alternatives | null, void>('orcls/alternatives');
export const ExpandRequest = new RequestType<AboutFile, Expansion | null, void>('orcls/expandMacro');
export const StatusRequest = new RequestType<AboutFile, Status | null, void>('orcls/status');
export const StatusChanged = new NotificationType<{ uri: string }>('orcls/statusChanged');
