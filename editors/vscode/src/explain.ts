// Explains a finding, and puts what a bug report needs on the clipboard.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import * as vscode from 'vscode';
import { StatusRequest } from './protocol';
import type { Server } from './server';

const SCHEME = 'orcls-explain';

/** Serves the page of a finding as a read-only document. */
export function explanations(server: Server): vscode.Disposable {
  return vscode.workspace.registerTextDocumentContentProvider(SCHEME, {
    provideTextDocumentContent: async uri => {
      if (!server.program) return 'The orcls program was not found.';
      const { stdout } = await promisify(execFile)(server.program.path, ['explain', uri.query, '--format', 'markdown']);
      return stdout;
    },
  });
}

export async function explain(): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  if (!editor) return;
  const all = findings(editor.document.uri);
  const here = all.filter(each => each.range.start.line <= editor.selection.active.line && editor.selection.active.line <= each.range.end.line);
  const code = await choose(here.length ? here : all);
  if (!code) return;
  // The text is Markdown; the preview needs a name that says so.
  const uri = vscode.Uri.from({ scheme: SCHEME, path: `/${code}.md`, query: code });
  await vscode.commands.executeCommand('markdown.showPreviewToSide', uri);
}

export async function copyBugReport(context: vscode.ExtensionContext, server: Server): Promise<void> {
  const uri = vscode.window.activeTextEditor?.document.uri;
  const status = uri && await server.ask(StatusRequest, uri).catch(error => String(error));
  const said = uri ? findings(uri) : [];
  const report = [
    `orcls ${server.version ?? '(not running)'}, extension ${context.extension.packageJSON.version}, VS Code ${vscode.version}, ${process.platform} ${process.arch}`,
    `Server: ${server.program ? `${server.program.path} (${server.program.from})` : 'not found'}`,
    '', '### Settings', fenced(vscode.workspace.getConfiguration('orcls')),
    '### Status of the file', fenced(status ?? null),
    '### Findings', fenced(said.map(each => ({
      line: each.range.start.line + 1, code: codeOf(each), message: each.message,
      related: each.relatedInformation?.map(step => `${vscode.workspace.asRelativePath(step.location.uri)}:${step.location.range.start.line + 1}: ${step.message}`),
      data: (each as { data?: unknown }).data,
    }))),
    'What I expected instead:', '',
  ].join('\n');
  await vscode.env.clipboard.writeText(report);
  void vscode.window.showInformationMessage('A bug report without any source text is on the clipboard. Read it before you send it.');
}

function fenced(value: unknown): string {
  return '```json\n' + JSON.stringify(value, null, 2) + '\n```\n';
}

function findings(uri: vscode.Uri): vscode.Diagnostic[] {
  return vscode.languages.getDiagnostics(uri).filter(each => each.source === 'orcls');
}

function codeOf(finding: vscode.Diagnostic): string {
  return String(typeof finding.code === 'object' ? finding.code.value : finding.code ?? '');
}

async function choose(among: vscode.Diagnostic[]): Promise<string | undefined> {
  const codes = new Map(among.map(each => [codeOf(each), each.message]));
  codes.delete('');
  if (codes.size > 1) {
    const picked = await vscode.window.showQuickPick([...codes].map(([label, detail]) => ({ label, detail })), { title: 'Explain which finding?' });
    return picked?.label;
  }
  const [only] = codes.keys();
  if (!only) void vscode.window.showInformationMessage('orcls has found nothing in this file.');
  return only;
}
