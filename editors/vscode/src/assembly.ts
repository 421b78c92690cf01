// Which files are ours, Rust of the kernel among them, and a language for GNU assembly where no other extension brings one.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as vscode from 'vscode';
import type { DocumentFilter } from 'vscode-languageclient/node';

/** Language ids that the common assembly extensions use. */
const ASSEMBLY = ['asm', 'gas', 'gas-x86', 'gnu-asm', 'assembly', 's', 'x86_64', 'x86asm', 'asm-intel-x86-generic', 'asm-collection', 'llvm-asm', 'orcls-gas'];
export const OWN = 'orcls-gas';

export const SELECTOR: DocumentFilter[] = [
  ...['c', 'cpp', ...ASSEMBLY].map(language => ({ scheme: 'file', language })),
  { scheme: 'file', pattern: '**/*.{S,s}' },
  { scheme: 'file', language: 'rust' },
];

export function isOurs(document: vscode.TextDocument): boolean {
  if (document.languageId === 'rust') return document.uri.scheme === 'file' && isKernelFolder(dirname(document.uri.fsPath));
  return vscode.languages.match(SELECTOR as vscode.DocumentSelector, document) > 0;
}

const kernelFolders = new Map<string, boolean>();

/** Whether a folder belongs to a kernel, or to a module that Kbuild makes: other Rust is left to rust-analyzer alone. */
function isKernelFolder(folder: string): boolean {
  const known = kernelFolders.get(folder);
  if (known !== undefined) return known;
  const has = (name: string) => existsSync(join(folder, name));
  const parent = dirname(folder);
  const is = ['scripts/Makefile.build', 'Kbuild', '.Module.symvers.cmd', '.modules.order.cmd'].some(has)
    || (!has('Cargo.toml') && parent !== folder && isKernelFolder(parent));
  kernelFolders.set(folder, is);
  return is;
}

/**
 * Gives assembly files that no extension claims the small grammar that comes with this one. The language is contributed
 * without file extensions, so that it can never take a file away from a better one.
 */
export function claimOrphans(): vscode.Disposable {
  // Once per file: whoever sets the language back to plain text keeps it.
  const claimed = new Set<string>();
  const claim = (document: vscode.TextDocument) => {
    const key = document.uri.toString();
    if (document.languageId !== 'plaintext' || document.uri.scheme !== 'file' || !/\.[sS]$/.test(document.uri.path) || claimed.has(key)) return;
    claimed.add(key);
    const chosen = Object.keys(vscode.workspace.getConfiguration('files').get<object>('associations') ?? {});
    if (!chosen.some(glob => /\.[sS]$/.test(glob))) void vscode.languages.setTextDocumentLanguage(document, OWN);
  };
  // Another language closes and opens a file at once; one that stays closed is claimed anew.
  const forget = (document: vscode.TextDocument) => void setTimeout(() => {
    const key = document.uri.toString();
    if (!vscode.workspace.textDocuments.some(open => open.uri.toString() === key)) claimed.delete(key);
  }, 0);
  vscode.workspace.textDocuments.forEach(claim);
  return vscode.Disposable.from(vscode.workspace.onDidOpenTextDocument(claim), vscode.workspace.onDidCloseTextDocument(forget));
}

/** The kernel's assembly is indented by tabs of eight, whatever the editor has guessed from a few lines. */
export function eightWide(): vscode.Disposable {
  const set = (editor: vscode.TextEditor | undefined) => {
    if (!editor || editor.document.uri.scheme !== 'file' || !/\.[sS]$/.test(editor.document.uri.path)) return;
    if (isKernelFolder(dirname(editor.document.uri.fsPath))) editor.options = { tabSize: 8, insertSpaces: false };
  };
  set(vscode.window.activeTextEditor);
  return vscode.window.onDidChangeActiveTextEditor(set);
}

/** Keeps the context key that our menus and the stack view hang on. A panel in front leaves it as it is. */
export function followFocus(): vscode.Disposable {
  const tell = (editor: vscode.TextEditor | undefined) => {
    if (editor) void vscode.commands.executeCommand('setContext', 'orcls.ours', isOurs(editor.document));
  };
  tell(vscode.window.activeTextEditor);
  return vscode.window.onDidChangeActiveTextEditor(tell);
}
