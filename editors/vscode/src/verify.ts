// Asks the tree's own objtool about a copy of the object of the file in the editor, and shows where orcls differs from it.
import { execFile } from 'node:child_process';
import * as vscode from 'vscode';
import { StatusRequest } from './protocol';
import type { Server } from './server';

export async function verify(server: Server): Promise<void> {
  const say = (text: string) => void vscode.window.showInformationMessage(`orcls: ${text}`);
  // objtool is a program that the tree brings along.
  if (!vscode.workspace.isTrusted) return say('the objtool of a tree is run once the workspace is trusted.');
  const uri = vscode.window.activeTextEditor?.document.uri;
  const status = uri && await server.ask(StatusRequest, uri).catch(() => undefined);
  const object = status?.object;
  if (!server.program || !object) return say('this file has no object of a build to compare.');
  const words = ['verify', ...status.directory ? ['--build-dir', status.directory] : [], object];
  const program = server.program.path;
  const run = () => new Promise<string>(done => {
    execFile(program, words, { timeout: 600_000, maxBuffer: 1 << 24 }, (_, out, error) => done(`${out}${error}`));
  });
  const title = 'orcls: comparing with the tree\'s objtool';
  const content = await vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title }, run);
  await vscode.window.showTextDocument(await vscode.workspace.openTextDocument({ content, language: 'plaintext' }), { preview: true });
}
