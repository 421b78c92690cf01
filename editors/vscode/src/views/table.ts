// A panel with one of the tables of a file: its alternatives, its ORC table, the states of a function. Follows the edits.
import * as path from 'node:path';
import * as vscode from 'vscode';
import { AlternativesRequest, CfiRequest, OrcRequest } from '../protocol';
import type { Server } from '../server';
import { fill, go, type Said, type Show } from './page';

export type Kind = 'alternatives' | 'orc' | 'cfi';

const TITLES: Record<Kind, string> = { alternatives: 'Alternatives', orc: 'ORC', cfi: 'CFI' };

export class TablePanel {
  private static readonly open = new Map<Kind, TablePanel>();
  private readonly panel: vscode.WebviewPanel;
  private readonly subscriptions: vscode.Disposable[];
  private timer: NodeJS.Timeout | undefined;
  private asking: vscode.CancellationTokenSource | undefined;
  /** The file that `asking` is about, and whether something has changed since. */
  private asked: vscode.Uri | undefined;
  private again = false;
  private last = '';

  /** Shows the table of `uri`, in the panel of that kind if there is one. */
  static show(server: Server, extension: vscode.Uri, kind: Kind, uri: vscode.Uri, at: vscode.Position): void {
    let panel = TablePanel.open.get(kind);
    if (!panel) TablePanel.open.set(kind, panel = new TablePanel(server, extension, kind));
    panel.turnTo(uri, at);
  }

  private uri: vscode.Uri | undefined;
  private at = new vscode.Position(0, 0);

  private constructor(private readonly server: Server, extension: vscode.Uri, private readonly kind: Kind) {
    this.panel = vscode.window.createWebviewPanel(`orcls.${kind}`, TITLES[kind], { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true }, { retainContextWhenHidden: true });
    fill(this.panel.webview, extension);
    this.subscriptions = [
      this.panel.webview.onDidReceiveMessage((said: Said) => {
        if (said.kind === 'go') return void go(said.file, said.line, vscode.ViewColumn.One);
        // What was sent before the page listened is lost.
        this.last = '';
        this.soon(0);
      }),
      server.onDidChange(uri => {
        if (!uri || uri.toString() === this.uri?.toString()) this.soon(150);
      }),
      vscode.window.onDidChangeTextEditorSelection(e => {
        if (e.textEditor.document.uri.toString() !== this.uri?.toString()) return;
        this.at = e.selections[0]?.active ?? this.at;
        // The states are those of one function: another one is asked for when the cursor leaves it.
        if (kind === 'cfi') this.soon(150);
        else this.say({ kind: 'line', file: this.uri.fsPath, line: 0 });
      }),
    ];
    this.panel.onDidDispose(() => this.dispose());
  }

  private turnTo(uri: vscode.Uri, at: vscode.Position): void {
    if (uri.toString() !== this.uri?.toString()) this.last = '';
    this.uri = uri;
    this.at = at;
    this.panel.title = `${TITLES[this.kind]}: ${path.basename(uri.path)}`;
    this.panel.reveal(undefined, true);
    this.soon(0);
  }

  private soon(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.update(), milliseconds);
  }

  private async update(): Promise<void> {
    const uri = this.uri;
    if (!uri) return;
    // On a busy machine events come faster than answers: what is on its way is shown, and asked for once more behind it.
    if (this.asking && this.asked?.toString() === uri.toString()) return void (this.again = true);
    this.asking?.cancel();
    const asking = this.asking = new vscode.CancellationTokenSource();
    [this.asked, this.again] = [uri, false];
    const show = await this.table(uri, asking.token).catch((error: Error): Show => ({ kind: 'nothing', why: error.message }));
    if (asking.token.isCancellationRequested) return;
    this.asking = undefined;
    if (this.again) this.soon(0);
    const text = JSON.stringify(show);
    // An equal table is not drawn again: the reader's place in it stays.
    if (text !== this.last || show.kind === 'nothing') this.say(show);
    else this.say({ kind: 'line', file: uri.fsPath, line: 0 });
    this.last = text;
  }

  private async table(uri: vscode.Uri, token: vscode.CancellationToken): Promise<Show> {
    const file = uri.fsPath, line = 0;
    const nothing: Show = { kind: 'nothing', why: this.server.running ? 'Nothing is known about this file yet.' : 'The server is not running.' };
    switch (this.kind) {
      case 'alternatives': {
        const answer = await this.server.ask(AlternativesRequest, uri, undefined, token);
        return answer ? { kind: 'alternatives', file, line, groups: answer.groups } : nothing;
      }
      case 'orc': {
        const answer = await this.server.ask(OrcRequest, uri, undefined, token);
        return answer?.rows ? { kind: 'orc', file, line, rows: answer.rows } : nothing;
      }
      case 'cfi': {
        const here = await this.server.ask(CfiRequest, uri, this.at, token);
        const all = await this.server.ask(CfiRequest, uri, undefined, token);
        if (!all) return nothing;
        const names = new Set(here?.instructions.map(row => row.function));
        const rows = all.instructions.filter(row => names.has(row.function));
        return rows.length ? { kind: 'cfi', file, line, instructions: rows } : { kind: 'nothing', why: 'No code comes from this line. Put the cursor on a line of a function.' };
      }
    }
  }

  /** The cursor's line is added here, so that it does not make equal tables differ. */
  private say(show: Show): void {
    void this.panel.webview.postMessage(show.kind === 'nothing' ? show : { ...show, line: this.at.line + 1 });
  }

  private dispose(): void {
    clearTimeout(this.timer);
    this.asking?.cancel();
    TablePanel.open.delete(this.kind);
    for (const each of this.subscriptions) each.dispose();
  }
}
