// The side view that draws the stack frame at the cursor's line.
import * as vscode from 'vscode';
import { isOurs } from '../assembly';
import { CfiRequest } from '../protocol';
import type { Server } from '../server';
import { fill, go, type Said, type Show } from './page';

export class FrameView implements vscode.WebviewViewProvider, vscode.Disposable {
  private view: vscode.WebviewView | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly server: Server, private readonly extension: vscode.Uri) {
    this.subscriptions = [
      vscode.window.registerWebviewViewProvider('orcls.frame', this),
      vscode.window.onDidChangeTextEditorSelection(() => this.soon(50)),
      vscode.window.onDidChangeActiveTextEditor(() => this.soon(50)),
      server.onDidChange(() => this.soon(150)),
    ];
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.view = view;
    fill(view.webview, this.extension);
    view.webview.onDidReceiveMessage((said: Said) => {
      if (said.kind === 'ready') this.soon(0);
      else void go(said.file, said.line, vscode.ViewColumn.Active);
    });
    view.onDidChangeVisibility(() => this.soon(0));
    view.onDidDispose(() => this.view = undefined);
  }

  dispose(): void {
    clearTimeout(this.timer);
    for (const each of this.subscriptions) each.dispose();
  }

  private soon(milliseconds: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.update(), milliseconds);
  }

  private async update(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    // A click into a panel leaves no editor active: what was drawn last stays.
    if (!this.view?.visible || !editor || !isOurs(editor.document)) return;
    const at = editor.selection.active;
    const answer = await this.server.ask(CfiRequest, editor.document.uri, at).catch(() => undefined);
    const show: Show = answer?.instructions.length
      ? { kind: 'frame', file: editor.document.uri.fsPath, line: at.line + 1, instructions: answer.instructions }
      : { kind: 'nothing', why: 'No code comes from this line.' };
    void this.view?.webview.postMessage(show);
  }
}
