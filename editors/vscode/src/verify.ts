// Asks the tree's own objtool about a copy of the object of the file in the editor, and shows where orcls differs from it.
import * as vscode from 'vscode';
import { run } from './program';
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
  const title = 'orcls: comparing with the tree\'s objtool';
  const options = { location: vscode.ProgressLocation.Notification, title };
  const { out, error } = await vscode.window.withProgress(options, () => run(program, words, { timeout: 600_000 }));
  const document = await vscode.workspace.openTextDocument({ content: `${out}${error}`, language: 'plaintext' });
  await vscode.window.showTextDocument(document, { preview: true });
}
