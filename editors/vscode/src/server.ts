// Runs the language server and tells it the settings, workspace trust among them.
import * as vscode from 'vscode';
import { DidChangeConfigurationNotification, LanguageClient, State, TransportKind, type RequestType } from 'vscode-languageclient/node';
import { isOurs, SELECTOR } from './assembly';
import { findProgram, sayHowToInstall, type Program } from './program';
import { StatusChanged, type AboutFile } from './protocol';

export class Server implements vscode.Disposable {
  private client: LanguageClient | undefined;
  private readonly changed = new vscode.EventEmitter<vscode.Uri | undefined>();
  private readonly log = vscode.window.createOutputChannel('orcls', { log: true });
  private readonly subscriptions: vscode.Disposable[];
  program: Program | undefined;

  /** Something about a file may have changed; without a URI, about all of them. */
  readonly onDidChange = this.changed.event;

  constructor(private readonly context: vscode.ExtensionContext) {
    this.subscriptions = [
      this.changed, this.log,
      vscode.workspace.onDidGrantWorkspaceTrust(() => this.sendSettings()),
      vscode.workspace.onDidChangeConfiguration(e => {
        if (e.affectsConfiguration('orcls.server')) void this.restart();
        else if (e.affectsConfiguration('orcls')) void this.sendSettings();
      }),
      vscode.languages.onDidChangeDiagnostics(e => {
        for (const uri of e.uris) this.changed.fire(uri);
      }),
      vscode.workspace.onDidChangeTextDocument(e => {
        if (e.contentChanges.length && isOurs(e.document)) this.changed.fire(e.document.uri);
      }),
    ];
  }

  get running(): boolean {
    return this.client?.state === State.Running;
  }

  get version(): string | undefined {
    return this.client?.initializeResult?.serverInfo?.version;
  }

  /** Starts with the first file of ours. Plain text alone, which activates the extension too, needs no server. */
  async startWhenNeeded(): Promise<void> {
    if (vscode.workspace.textDocuments.some(isOurs)) return this.start();
    const opened = vscode.workspace.onDidOpenTextDocument(document => {
      if (!isOurs(document)) return;
      opened.dispose();
      if (!this.client) void this.start();
    });
    this.subscriptions.push(opened);
  }

  async start(): Promise<void> {
    this.program = findProgram(this.context);
    if (!this.program) {
      this.changed.fire(undefined);
      return sayHowToInstall();
    }
    const client = new LanguageClient('orcls', 'orcls', { command: this.program.path, args: ['lsp'], transport: TransportKind.stdio }, {
      documentSelector: SELECTOR,
      outputChannel: this.log,
      initializationOptions: { orcls: settings() },
      middleware: {
        // The selector knows no folders: Rust of other projects is not sent.
        didOpen: async (document, next) => { if (isOurs(document)) await next(document); },
        didChange: async (event, next) => { if (isOurs(event.document)) await next(event); },
        didSave: async (document, next) => { if (isOurs(document)) await next(document); },
        didClose: async (document, next) => { if (isOurs(document)) await next(document); },
        workspace: {
          // The server asks per folder; trust is not a setting of the user's and is added here.
          configuration: async (params, token, next) => {
            const answers = await next(params, token);
            if (!Array.isArray(answers)) return answers;
            return answers.map((value, i) => {
              const section = params.items[i]?.section;
              if (section === 'orcls') return { ...(value as object), trusted: vscode.workspace.isTrusted };
              return section === 'orcls.trusted' ? vscode.workspace.isTrusted : value;
            });
          },
        },
      },
    });
    this.client = client;
    client.onNotification(StatusChanged, e => this.changed.fire(client.protocol2CodeConverter.asUri(e.uri)));
    client.onDidChangeState(() => this.changed.fire(undefined));
    try {
      await client.start();
    } catch (error) {
      this.log.error(`${this.program.path} could not be started: ${error}`);
      this.changed.fire(undefined);
    }
  }

  async stop(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    await client?.dispose().catch(() => undefined);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Asks one of our requests about a file; nothing while the server is down. */
  async ask<R>(request: RequestType<AboutFile, R | null, void>, uri: vscode.Uri, at?: vscode.Position, token?: vscode.CancellationToken): Promise<R | undefined> {
    if (!this.client || !this.running) return undefined;
    const position = at && this.client.code2ProtocolConverter.asPosition(at);
    const textDocument = { uri: this.client.code2ProtocolConverter.asUri(uri) };
    return await this.client.sendRequest(request, { textDocument, position }, token) ?? undefined;
  }

  async run(command: string, args: unknown[] = []): Promise<unknown> {
    if (!this.client) await this.start();
    if (!this.client || !this.running) throw new Error('the orcls server is not running');
    return this.client.sendRequest('workspace/executeCommand', { command, arguments: args });
  }

  showLog(): void {
    this.log.show();
  }

  dispose(): void {
    void this.stop();
    for (const each of this.subscriptions) each.dispose();
  }

  private async sendSettings(): Promise<void> {
    if (this.running) await this.client?.sendNotification(DidChangeConfigurationNotification.type, { settings: { orcls: settings() } });
    this.changed.fire(undefined);
  }
}

function settings(): object {
  const { server: _ours, ...rest } = { ...vscode.workspace.getConfiguration('orcls') } as Record<string, unknown>;
  const plain = Object.fromEntries(Object.entries(rest).filter(([, value]) => typeof value !== 'function'));
  // Findings' pages are shown by `explanations`, rendered.
  return { ...plain, pages: 'orcls-explain:/CODE.md?CODE', trusted: vscode.workspace.isTrusted };
}
