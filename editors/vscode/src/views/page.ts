// What the host and the pages of the web views say to each other, and the frame of such a page.
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import type { AlternativeGroup, CfiRow, OrcRow } from '../protocol';

/** To the page. `line` is the cursor's, from 1. */
export type Show =
  | { kind: 'alternatives'; file: string; line: number; groups: AlternativeGroup[] }
  | { kind: 'orc'; file: string; line: number; rows: OrcRow[] }
  | { kind: 'cfi'; file: string; line: number; instructions: CfiRow[] }
  | { kind: 'frame'; file: string; line: number; instructions: CfiRow[] }
  | { kind: 'line'; file: string; line: number }
  | { kind: 'nothing'; why: string };

/** From the page. */
export type Said = { kind: 'ready' } | { kind: 'go'; file: string; line: number };

export function fill(webview: vscode.Webview, extension: vscode.Uri): void {
  const dist = vscode.Uri.joinPath(extension, 'dist');
  webview.options = { enableScripts: true, localResourceRoots: [dist] };
  const [script, style] = ['page.js', 'page.css'].map(name => webview.asWebviewUri(vscode.Uri.joinPath(dist, name)));
  const nonce = randomBytes(16).toString('base64');
  webview.html = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'">
<link rel="stylesheet" href="${style}"></head>
<body><main id="page"><p class="nothing">Waiting for the server.</p></main><script nonce="${nonce}" src="${script}"></script></body></html>`;
}

/** Leads to a line, in the editor that shows the file if there is one. */
export async function go(file: string, line: number, beside: vscode.ViewColumn): Promise<void> {
  const uri = vscode.Uri.file(file);
  const open = vscode.window.visibleTextEditors.find(editor => editor.document.uri.fsPath === uri.fsPath);
  const at = new vscode.Range(line - 1, 0, line - 1, 0);
  const document = open?.document ?? await vscode.workspace.openTextDocument(uri);
  await vscode.window.showTextDocument(document, { viewColumn: open?.viewColumn ?? beside, selection: at });
}
