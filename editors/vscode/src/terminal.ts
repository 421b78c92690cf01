// Links in terminals: objtool's lines, and the frames of stack traces. The program finds the place; here it is opened.
import * as path from 'node:path';
import * as vscode from 'vscode';
import { findProgram, run } from './program';

interface PlaceLink extends vscode.TerminalLink {
  /** What is given to the program: a line of objtool's, or a place. */
  words: string;
  kind: 'line' | 'place' | 'call';
}

/** `net/a.o: warning: objtool: foo+0x1c3: ...` */
const objtool = /(?:[^\s>:]+): (?:warning|error): objtool: \S.*$/;
/** `foo+0x1c3/0x200 [module]` */
const frame = /(\? )?([\w.$]+\+0x[0-9a-f]+\/0x[0-9a-f]+(?: \[[\w ]+\])?)/;

/** The links of a line, without asking anybody. */
export function linksIn(line: string): PlaceLink[] {
  const said = objtool.exec(line);
  if (said) {
    return [{ startIndex: said.index, length: said[0].trimEnd().length, tooltip: 'Show the line that objtool means', words: said[0].trimEnd(), kind: 'line' }];
  }
  const found = frame.exec(line);
  if (!found?.[2]) return [];
  const startIndex = found.index + (found[1]?.length ?? 0);
  // All frames are where a call returns to, but the one where it happened.
  const kind = line.includes('RIP: ') ? 'place' : 'call';
  return [{ startIndex, length: found[2].length, tooltip: 'Show the line of this frame', words: found[2], kind }];
}

export function terminalLinks(context: vscode.ExtensionContext): vscode.Disposable {
  const provider: vscode.TerminalLinkProvider<PlaceLink> = {
    provideTerminalLinks: ({ line }) => linksIn(line),
    handleTerminalLink: link => open(context, link),
  };
  return vscode.window.registerTerminalLinkProvider(provider);
}

interface Place { file?: string | null; line?: number | null; column?: number | null }

async function open(context: vscode.ExtensionContext, link: PlaceLink): Promise<void> {
  const say = (text: string) => void vscode.window.showInformationMessage(`orcls: ${text}`);
  // An object that is gone is compiled anew, which is for trusted workspaces only.
  if (!vscode.workspace.isTrusted) return say('objects are looked for once the workspace is trusted.');
  const program = findProgram(context);
  if (!program) return say('the program was not found.');
  const build = vscode.workspace.getConfiguration('orcls').get<string>('buildDirectory');
  const folders = vscode.workspace.workspaceFolders?.map(folder => folder.uri.fsPath) ?? [];
  let why = 'open the folder that was built.';
  for (const folder of folders) {
    const objects = build ? path.resolve(folder, build) : folder;
    const words = link.kind === 'line'
      ? ['log', '--format', 'json', '--build-dir', objects]
      : ['where', '--format', 'json', ...link.kind === 'call' ? ['--call'] : [], link.words, objects];
    const { out, error } = await run(program.path, words, { cwd: folder, input: link.kind === 'line' ? `${link.words}\n` : '' });
    const places = out.split('\n').filter(Boolean).map(text => JSON.parse(text));
    const found: Place[] = places.map(answer => link.kind === 'line' ? answer.place ?? {} : answer).filter(place => place.file && place.line);
    if (found.length) return show(folder, found);
    why = places.map(answer => answer.note).find(Boolean) ?? error.trim().split('\n')[0] ?? why;
  }
  say(why);
}

async function show(folder: string, places: Place[]): Promise<void> {
  const items = places.map(place => ({ label: `${path.relative(folder, path.resolve(folder, place.file!))}:${place.line}`, place }));
  const picked = items.length === 1 ? items[0] : await vscode.window.showQuickPick(items, { placeHolder: 'Several functions have this name' });
  if (!picked) return;
  const { file, line, column } = picked.place;
  const at = new vscode.Position(line! - 1, Math.max((column ?? 1) - 1, 0));
  await vscode.window.showTextDocument(vscode.Uri.file(path.resolve(folder, file!)), { selection: new vscode.Range(at, at) });
}
