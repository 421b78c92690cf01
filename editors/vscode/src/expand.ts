// Shows what the macro under the cursor becomes, in a document beside it.
import * as vscode from 'vscode';
import { OWN } from './assembly';
import { ExpandRequest } from './protocol';
import type { Server } from './server';

const SCHEME = 'orcls-expand';

/** Serves expansions as read-only documents: the last one of each macro. */
export class Expansions implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly texts = new Map<string, string>();
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly registration = vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  readonly onDidChange = this.changed.event;

  constructor(private readonly server: Server) {}

  provideTextDocumentContent(uri: vscode.Uri): string {
    return this.texts.get(uri.path) ?? '';
  }

  async show(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor) return;
    const answer = await this.server.ask(ExpandRequest, editor.document.uri, editor.selection.active);
    if (!answer) return void vscode.window.showInformationMessage('Put the cursor on a statement that uses a macro.');
    const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${answer.name}.S` });
    this.texts.clear();
    this.texts.set(uri.path, answer.text);
    this.changed.fire(uri);
    const document = await vscode.workspace.openTextDocument(uri);
    await vscode.languages.setTextDocumentLanguage(document, OWN);
    await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true, preview: true });
  }

  dispose(): void {
    this.registration.dispose();
    this.changed.dispose();
  }
}
