// Runs suite.cjs in the extension host of a real VS Code, with the extension as it is in its folder.
import { browse, serve } from './session.mjs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.dirname(fileURLToPath(import.meta.url));
const development = path.resolve(here, '../../../editors/vscode');

export async function exthost({ prefix, state, folder, settings, machine, server, log, artifacts }) {
  // The extension host inherits it.
  process.env.ORCLS_COMPILER_LOG = log;
  const code = await serve({ prefix, state, folder, settings, machine: { ...machine, 'orcls.server.path': server } });
  const { page, close } = await browse({ state });
  try {
    let end;
    const ended = new Promise(done => { end = done; });
    await page.exposeFunction('codeAutomationLog', (_type, words) => {
      const text = words.join(' ');
      if (/^(ok|FAIL) /.test(text)) console.log(`  ${text}`);
    });
    await page.exposeFunction('codeAutomationExit', status => end(status));
    // A built workbench runs tests only for a server that says so, which code-server has no flag for: it is said where the
    // page reads its configuration.
    await page.addInitScript(() => {
      const get = Element.prototype.getAttribute;
      Element.prototype.getAttribute = function (name) {
        const value = get.call(this, name);
        if (this.id !== 'vscode-workbench-web-configuration' || name !== 'data-settings') return value;
        const settings = JSON.parse(value);
        settings.developmentOptions = { ...settings.developmentOptions, enableSmokeTestDriver: true };
        return JSON.stringify(settings);
      };
    });
    const remote = file => `vscode-remote://${new URL(code.url).host}${file}`;
    const payload = [['extensionDevelopmentPath', remote(development)], ['extensionTestsPath', remote(path.join(here, 'suite.cjs'))]];
    await page.goto(`${code.url}/?folder=${encodeURIComponent(folder)}&payload=${encodeURIComponent(JSON.stringify(payload))}`);
    const status = await Promise.race([ended, new Promise(done => setTimeout(done, 600000, 'no end after 10 minutes'))]);
    if (status !== 0) {
      await page.screenshot({ path: path.join(artifacts, 'vscode-api-failed.png') });
      throw new Error(`the suite ended with ${status}`);
    }
  } finally {
    await close();
    code.stop();
  }
}
