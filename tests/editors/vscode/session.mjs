// A VS Code of its own for a test: a fresh profile, served on loopback, shown in a headless Chromium.
import { chromium } from 'playwright-core';
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

/** How long anything may take, in milliseconds: long enough for a machine that is busy with other things. */
export const PATIENCE = 120000;

const SETTINGS = {
  'telemetry.telemetryLevel': 'off', 'workbench.startupEditor': 'none', 'workbench.tips.enabled': false, 'workbench.enableExperiments': false,
  'extensions.ignoreRecommendations': true, 'extensions.autoUpdate': false, 'update.mode': 'none', 'chat.disableAIFeatures': true,
  'json.schemaDownload.enable': false, 'git.enabled': false, 'files.autoSave': 'off', 'files.hotExit': 'off',
  'editor.inlayHints.enabled': 'on', 'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' }, 'editor.wordBasedSuggestions': 'off', 'editor.minimap.enabled': false, 'editor.hover.delay': 100, 'editor.fontSize': 14,
  'workbench.editor.enablePreview': false, 'workbench.secondarySideBar.defaultVisibility': 'hidden', 'problems.defaultViewMode': 'tree',
  'workbench.colorTheme': 'Default Dark Modern', 'workbench.reduceMotion': 'on', 'breadcrumbs.enabled': false,
  'files.exclude': { '**/*.o': true, '**/*.cmd': true },
};

/**
 * Serves `folder`. `machine` are settings that a workspace can not change (where the server is, say); `trust` asks the
 * questions that VS Code asks about a new folder.
 */
export async function serve({ prefix, state, vsix, folder, settings = {}, machine = {}, trust = false }) {
  for (const each of ['home', 'tmp', 'data/User', 'data/Machine', 'extensions']) mkdirSync(path.join(state, each), { recursive: true });
  const at = name => path.join(state, name);
  writeFileSync(at('data/User/settings.json'), JSON.stringify({ ...SETTINGS, ...settings, 'security.workspace.trust.enabled': trust, 'security.workspace.trust.startupPrompt': 'never' }));
  // On a server, settings of machine scope are read from here and not from the user's.
  writeFileSync(at('data/Machine/settings.json'), JSON.stringify(machine));
  const port = await freePort();
  writeFileSync(at('config.yaml'), `bind-addr: 127.0.0.1:${port}\nauth: none\ncert: false\n`);
  const env = { ...process.env, HOME: at('home'), TMPDIR: at('tmp'), XDG_RUNTIME_DIR: at('tmp'), PATH: `${prefix}/bin:${process.env.PATH}` };
  for (const name of ['VSCODE_IPC_HOOK_CLI', 'NODE_OPTIONS', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME']) delete env[name];
  const program = `${prefix}/bin/code-server`;
  const common = ['--user-data-dir', at('data'), '--extensions-dir', at('extensions'), '--config', at('config.yaml')];
  if (vsix) execFileSync(program, [...common, '--install-extension', vsix, '--force'], { env, stdio: ['ignore', 'ignore', 'inherit'] });
  const log = openSync(at('serve.log'), 'w');
  // A process group of its own: the extension host and the language server outlive the browser, and end with it.
  const process_ = spawn(program, [...common, '--auth', 'none', '--bind-addr', `127.0.0.1:${port}`, '--disable-telemetry', '--disable-update-check',
    '--disable-getting-started-override', ...(trust ? [] : ['--disable-workspace-trust']), '--session-socket', at('s.sock'), folder], { env, detached: true, stdio: ['ignore', log, log] });
  const url = `http://127.0.0.1:${port}`;
  const stop = () => { try { process.kill(-process_.pid, 'SIGKILL'); } catch { /* it has ended */ } };
  process.on('exit', stop);
  for (let tries = 0; ; tries++) {
    const up = await fetch(`${url}/healthz`).then(answer => answer.ok, () => false);
    if (up) return { url, stop, log: () => readFileSync(at('serve.log'), 'utf8') };
    if (process_.exitCode !== null || tries > PATIENCE / 100) throw new Error(`code-server did not start:\n${readFileSync(at('serve.log'), 'utf8')}`);
    await new Promise(done => setTimeout(done, 100));
  }
}

/** A browser window. */
export async function browse({ state, viewport = { width: 1280, height: 800 } }) {
  const context = await chromium.launchPersistentContext(path.join(state, 'chromium'), {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium', headless: true, viewport, reducedMotion: 'reduce',
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  const page = context.pages()[0] ?? await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  return { page, close: () => context.close() };
}

function freePort() {
  return new Promise((done, fail) => {
    const server = net.createServer().on('error', fail);
    server.listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)); });
  });
}
