// Finds the server: the setting, the program that came with the extension, PATH; in this order. And runs it for an answer.
import { execFile } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import * as vscode from 'vscode';

export interface Program { path: string; from: 'setting' | 'bundled' | 'path' }

export function findProgram(context: vscode.ExtensionContext): Program | undefined {
  const chosen = vscode.workspace.getConfiguration('orcls').get<string>('server.path');
  // A path that was set and is wrong is an error to show, not a reason to run something else.
  if (chosen) return executable(chosen) ? { path: chosen, from: 'setting' } : undefined;
  const bundled = context.asAbsolutePath(path.join('server', 'orcls'));
  if (executable(bundled)) return { path: bundled, from: 'bundled' };
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    const candidate = path.join(folder, 'orcls');
    if (folder && executable(candidate)) return { path: candidate, from: 'path' };
  }
  return undefined;
}

export async function sayHowToInstall(): Promise<void> {
  const chosen = vscode.workspace.getConfiguration('orcls').get<string>('server.path');
  const problem = chosen ? `There is no program at ${chosen} (setting orcls.server.path).` : 'The orcls program was not found.';
  const pick = await vscode.window.showErrorMessage(
    `${problem} Build it with "cargo install --locked --path ." in the orcls sources, or set orcls.server.path.`, 'How to Install', 'Open Settings');
  if (pick === 'How to Install') await vscode.commands.executeCommand('orcls.getStarted');
  if (pick === 'Open Settings') await vscode.commands.executeCommand('workbench.action.openSettings', 'orcls.server.path');
}

function executable(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** Runs the program; what it prints, whatever its status says. */
export function run(program: string, words: string[], { cwd, input = '', timeout = 60_000 }: { cwd?: string; input?: string; timeout?: number }): Promise<{ out: string; error: string }> {
  return new Promise(done => {
    const child = execFile(program, words, { cwd, timeout, maxBuffer: 1 << 24 }, (_, out, error) => done({ out, error }));
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });
}
