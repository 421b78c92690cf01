// The status bar item: how the findings of the file in front stand to its text, and a menu.
import * as vscode from 'vscode';
import { isOurs } from './assembly';
import { StatusRequest, type State, type Status } from './protocol';
import type { Server } from './server';

const LOOKS: Record<State | 'down', { icon: string; say: string; warn?: boolean }> = {
  analysing: { icon: '$(sync~spin)', say: 'Analysing' },
  fresh: { icon: '$(pass)', say: 'The findings are those of the text as it stands' },
  stale: { icon: '$(history)', say: 'The findings belong to an older text', warn: true },
  'not-checked': { icon: '$(circle-slash)', say: 'Not checked', warn: true },
  'no-command': { icon: '$(question)', say: 'No compile command is known for this file' },
  untrusted: { icon: '$(shield)', say: 'The workspace is not trusted: no compiler is run' },
  off: { icon: '$(circle-slash)', say: 'Compiling is switched off' },
  down: { icon: '$(error)', say: 'The server is not running', warn: true },
};

const MENU: [label: string, command: string][] = [
  ['$(table) Show ORC Table', 'orcls.showOrc'],
  ['$(split-horizontal) Show Alternatives', 'orcls.showAlternatives'],
  ['$(list-tree) Show CFI of Function', 'orcls.showCfi'],
  ['$(book) Explain Finding', 'orcls.explain'],
  ['$(search) Check Workspace', 'orcls.checkWorkspace'],
  ['$(git-compare) Compare with the Tree\'s objtool', 'orcls.verify'],
  ['$(clippy) Copy Bug Report', 'orcls.copyBugReport'],
  ['$(output) Show Log', 'orcls.showLog'],
  ['$(debug-restart) Restart Server', 'orcls.restart'],
];

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem('orcls.status', vscode.StatusBarAlignment.Right, 100);
  private readonly subscriptions: vscode.Disposable[];
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly server: Server) {
    this.item.name = 'orcls';
    this.item.command = 'orcls.menu';
    this.subscriptions = [
      this.item,
      vscode.window.onDidChangeActiveTextEditor(() => this.soon(0)),
      server.onDidChange(uri => {
        if (!uri || uri.toString() === vscode.window.activeTextEditor?.document.uri.toString()) this.soon(100);
      }),
    ];
    this.soon(0);
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
    const document = vscode.window.activeTextEditor?.document;
    if (!document || !isOurs(document)) return this.item.hide();
    const status = await this.server.ask(StatusRequest, document.uri).catch(() => undefined);
    if (document !== vscode.window.activeTextEditor?.document) return;
    this.show(status);
    // Whatever ends an analysis is told to us, but a message may be lost to a crash of the server.
    if (status?.state === 'analysing') this.soon(1000);
  }

  private show(status: Status | undefined): void {
    const state = this.server.running ? status?.state ?? 'no-command' : 'down';
    const looks = LOOKS[state] ?? { icon: '$(question)', say: 'Unknown state' };
    this.item.text = `${looks.icon} orcls`;
    this.item.tooltip = [status?.message || looks.say, ...status?.notes ?? []].map(sentence).join('\n');
    this.item.accessibilityInformation = { label: `orcls: ${this.item.tooltip}` };
    this.item.backgroundColor = looks.warn ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
    this.item.show();
  }
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export async function showMenu(server: Server): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  const status = document && isOurs(document) ? await server.ask(StatusRequest, document.uri).catch(() => undefined) : undefined;
  const picked = await vscode.window.showQuickPick(
    MENU.map(([label, command]) => ({ label, command })),
    { title: 'orcls', placeHolder: status ? sentence(status.message) : (server.running ? 'What to show?' : LOOKS.down.say) });
  if (picked) await vscode.commands.executeCommand(picked.command);
}
