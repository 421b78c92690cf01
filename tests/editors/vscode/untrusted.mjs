// A workspace that is not trusted: what is built already is shown, and no compiler runs until trust is granted.
import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import { browse, serve } from './session.mjs';
import { Workbench } from './workbench.mjs';

export async function untrusted({ prefix, state, vsix, folder, settings, machine, log, artifacts }) {
  const compiled = () => readFileSync(log, 'utf8').split('\n').length - 1;
  const before = compiled();
  const code = await serve({ prefix, state, vsix, folder, settings, machine, trust: true });
  const { page, close } = await browse({ state });
  const bench = new Workbench(page, artifacts);
  const step = text => console.log(`  ok    ${text}`);
  try {
    await bench.open(code.url, folder);
    await bench.file('stack.S');
    await bench.untilSquiggles([10]);
    step('the finding of the built object is shown');

    await bench.line(15);
    await page.keyboard.press('End');
    await page.keyboard.type('\npush %rax');
    await bench.until('the status bar', () => bench.status(), seen => /not trusted/.test(seen ?? ''));
    // Longer than any debounce.
    await page.waitForTimeout(3000);
    assert.strictEqual(compiled(), before, 'a compiler ran');
    const hinted = async () => (await bench.lines()).filter(line => /bytes deep/.test(line.text)).map(line => line.number);
    await bench.until('the hints, moved with their lines', hinted, seen => String(seen) === '8,17');
    await bench.picture('vscode-untrusted');
    step('the status bar says so, and no compiler runs for what is typed');

    await page.locator('.statusbar-item', { hasText: 'Restricted Mode' }).click();
    await page.locator('.workspace-trust-buttons-row .monaco-button', { hasText: /^Trust/ }).first().click();
    await bench.file('stack.S');
    await bench.untilSquiggles([10, 20]);
    assert(compiled() > before, 'no compiler ran after trust was granted');
    step('trust granted: the text is compiled');
  } catch (error) {
    await bench.picture('vscode-untrusted-failed');
    throw error;
  } finally {
    await close();
    code.stop();
  }
}
