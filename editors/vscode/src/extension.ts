// Connects VS Code with `orcls lsp`. The server decides everything; here it is only shown.
import * as vscode from 'vscode';
import { claimOrphans, eightWide, followFocus } from './assembly';
import { Expansions } from './expand';
import { copyBugReport, explain, explanations } from './explain';
import { Server } from './server';
import { showMenu, StatusBar } from './status';
import { terminalLinks } from './terminal';
import { verify } from './verify';
import { FrameView } from './views/frame';
import { TablePanel, type Kind } from './views/table';

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const server = new Server(context);
  const expansions = new Expansions(server);
  const command = (name: string, run: (...args: any[]) => unknown) => vscode.commands.registerCommand(`orcls.${name}`, run);
  // From a code lens with the place, from the palette without.
  const table = (kind: Kind) => (uri?: string, at?: { line: number; character: number }) => {
    const editor = vscode.window.activeTextEditor;
    const target = typeof uri === 'string' ? vscode.Uri.parse(uri) : editor?.document.uri;
    if (!target) return void vscode.window.showInformationMessage('Open a C or assembly file first.');
    const position = typeof uri === 'string' && at ? new vscode.Position(at.line, at.character) : editor?.selection.active;
    TablePanel.show(server, context.extensionUri, kind, target, position ?? new vscode.Position(0, 0));
  };
  context.subscriptions.push(
    claimOrphans(),
    followFocus(),
    server,
    new StatusBar(server),
    new FrameView(server, context.extensionUri),
    explanations(server),
    terminalLinks(context),
    expansions,
    eightWide(),
    command('showOrc', table('orc')),
    command('showAlternatives', table('alternatives')),
    command('showCfi', table('cfi')),
    command('explain', explain),
    command('expandMacro', () => expansions.show()),
    command('checkWorkspace', () => checkWorkspace(server)),
    command('verify', () => verify(server)),
    command('copyBugReport', () => copyBugReport(context, server)),
    command('restart', () => server.restart()),
    command('showLog', () => server.showLog()),
    command('getStarted', () => vscode.commands.executeCommand('workbench.action.openWalkthrough', 'orcls.orcls#start')),
    command('menu', () => showMenu(server)),
  );
  await server.startWhenNeeded();
}

interface Checked {
  objects: number; findings: number; withFindings: number; failed: number;
  skipped?: Record<string, number>; notRead?: string[]; notes?: string[];
}

/** Progress, with its cancel button, is the server's; here is said what came of it. */
async function checkWorkspace(server: Server): Promise<void> {
  const done = await server.run('orcls.server.checkWorkspace') as Checked | null;
  if (!done) return;
  const failed = done.failed ? `, ${done.failed} could not be read` : '';
  const skipped = Object.entries(done.skipped ?? {}).map(([why, number]) => `${number} not checked: ${why}`);
  const more = [...skipped, ...done.notRead ?? [], ...done.notes ?? []].map(line => ` ${line}.`).join('');
  if (!done.objects) return void vscode.window.showWarningMessage(`orcls checked nothing${failed}.${more}`);
  const said = vscode.window.showInformationMessage(`orcls checked ${done.objects} objects: ${done.findings} findings in ${done.withFindings} of them${failed}.${more}`, ...done.findings ? ['Show'] : []);
  // Not awaited: the command is done when the check is.
  void said.then(picked => picked && vscode.commands.executeCommand('workbench.actions.view.problems'));
}
