// What a person sees: squiggles, hovers, panels, drawn by the workbench with the packaged extension. Takes the pictures.
import assert from 'node:assert';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { browse, serve } from './session.mjs';
import { Workbench } from './workbench.mjs';

export async function ui({ prefix, state, vsix, folder, settings, machine, artifacts }) {
  // The machine's settings name no server: it is the one inside the package.
  // A terminal that is drawn as text can be read.
  const drawn = { ...settings, 'terminal.integrated.gpuAcceleration': 'off' };
  const code = await serve({ prefix, state, vsix, folder, settings: drawn, machine });
  const { page, close } = await browse({ state, viewport: { width: 1400, height: 680 } });
  const bench = new Workbench(page, artifacts);
  const step = text => console.log(`  ok    ${text}`);
  try {
    await bench.open(code.url, folder);
    await bench.file('stack.S');
    await bench.untilSquiggles([10]);
    step('the squiggle is on line 10');

    const lines = await bench.until('inlay hints', () => bench.lines(), seen => seen.some(line => line.number === 6 && /rsp\+16/.test(line.text)));
    assert(!/rsp\+/.test(lines.find(line => line.number === 7).text), 'a hint where nothing changes');
    step('the inlay hints are at the end of the lines where the CFA changes');

    await bench.hover(10, 'ret', /return-with-modified-frame[^]*rsp\+16/);
    await bench.picture('vscode-finding');
    step('the hover over the squiggle has the finding');
    await bench.hover(7, 'mov', /^sum_leaks[^]*rsp\+16[^]*saved rbx/);
    await bench.picture('vscode-hover');
    step('the hover over an instruction has the state');
    await bench.until('the status bar', () => bench.status(), seen => /belongs to the text/.test(seen ?? ''));
    step('the status bar says that the findings are fresh');

    await bench.line(10);
    await bench.quickFix(() => bench.picture('vscode-quick-fix'));
    await bench.untilSquiggles([]);
    step('the quick fix clears the squiggle');
    await page.keyboard.press('Control+Z');
    await bench.untilSquiggles([10]);
    step('undo brings it back');

    await bench.line(16);
    // Hints are fetched anew a moment after each change.
    const source = line => line.text.replace(/(cfa = \S+|\d+ bytes deep)$/, '');
    const text = async () => (await bench.lines()).map(source).join('\n');
    const before = await text();
    await page.keyboard.press('Home');
    await page.keyboard.type('push %rax\n');
    await bench.untilSquiggles([10, 20]);
    step('what is typed brings a squiggle');
    await bench.undoAll();
    await bench.untilSquiggles([10]);
    await bench.until('the text', text, seen => seen === before);
    step('undo clears it');

    await page.locator('.pane-header', { hasText: 'Stack Frame' }).click();
    await page.waitForTimeout(300);
    // Room for the drawing: the line above the lower panes is pulled up.
    const outline = await page.locator('.pane-header', { hasText: 'Outline' }).boundingBox();
    await page.mouse.move(outline.x + 60, outline.y);
    await page.mouse.down();
    await page.mouse.move(outline.x + 60, outline.y - 150, { steps: 5 });
    await page.mouse.up();
    await page.mouse.move(700, 600);
    await bench.line(8);
    const frame = await bench.view('table.frame');
    await bench.until('the drawing', () => frame.locator('table.frame').innerText(), seen => /saved rbx/.test(seen) && /return address/.test(seen));
    await bench.picture('vscode-frame');
    await bench.line(6);
    await bench.until('the drawing before the push', () => frame.locator('table.frame').innerText(), seen => !/saved rbx/.test(seen));
    step('the stack frame is drawn and follows the cursor');

    // Room for the panel beside the text.
    await page.keyboard.press('Control+B');
    await bench.file('save_fl.S');
    await bench.untilSquiggles([8]);
    await bench.line(8);
    await bench.command('orcls: Show Alternatives');
    const view = await bench.view('.group');
    assert.match(await view.locator('.summary').innerText(), /2 alternatives, 1 with a conflict/);
    const conflict = view.locator('td.insn.conflict');
    assert.strictEqual(await conflict.count(), 2);
    const red = await conflict.first().evaluate(cell => getComputedStyle(cell).backgroundColor);
    assert.notStrictEqual(red, await view.locator('td.insn:not(.conflict)').first().evaluate(cell => getComputedStyle(cell).backgroundColor));
    await bench.picture('vscode-alternatives');
    step('the arms stand side by side, with the conflict in colour');

    // The other group's line, by a click.
    await view.locator('.group').nth(1).locator('td.insn .link').first().click();
    await bench.until('the cursor', () => bench.cursor(), line => line === 14);
    step('a click leads to the line');

    // The POP in time, as the second figure's remedy has it: the panel follows.
    await bench.line(8);
    await page.keyboard.press('Home');
    await page.keyboard.press('Shift+End');
    await page.keyboard.insertText('ALTERNATIVE "call *pv_ops; nop", "pushf; pop %rax; .nops 6", X86_FEATURE_ALWAYS');
    await bench.until('the panel after the edit', () => view.locator('.summary').innerText(), seen => /2 alternatives, no conflict/.test(seen));
    await bench.untilSquiggles([]);
    step('the panel follows the edit');
    await bench.undoAll();
    await bench.until('the panel after undo', () => view.locator('.summary').innerText(), seen => /1 with a conflict/.test(seen));
    step('and the undo');

    await bench.command('orcls: Show ORC Table');
    const orc = await bench.view('table.listing');
    assert.match(await orc.locator('table.listing').innerText(), /save_fl/);
    await bench.picture('vscode-orc');
    step('the ORC table is shown');

    await bench.file('stack.S');
    await bench.line(8);
    await bench.item().click();
    const choices = page.locator('.quick-input-list .monaco-list-row');
    await choices.filter({ hasText: 'Restart Server' }).waitFor();
    await bench.picture('vscode-menu');
    await choices.filter({ hasText: 'Show CFI of Function' }).click();
    const cfi = await bench.view('td.changed');
    const states = await cfi.locator('table.listing').innerText();
    assert(/sum_leaks[^]*push[^]*rsp\+8[^]*ret[^]*rsp\+16/.test(states) && !/^sum$/m.test(states), states);
    await bench.picture('vscode-cfi');
    step('the menu of the status bar leads to the states of the function at the cursor');

    await bench.line(10);
    await bench.command('orcls: Explain Finding');
    const page_ = await bench.until('the explanation', async () => {
      for (const frame of page.frames()) {
        const text = await frame.locator('body').innerText().catch(() => '');
        if (!/stack frame/i.test(text) || !/return-with-modified-frame/.test(text)) continue;
        // A preview is drawn behind what was there before, and then shown.
        if (await frame.frameElement().then(element => element.isVisible(), () => false)) return frame;
      }
      return null;
    }, Boolean);
    assert(page_);
    await bench.picture('vscode-explain');
    step('the finding is explained');

    // What a build prints: a click on objtool's line leads to the line that it means.
    await bench.command('View: Close All Editors');
    await bench.file('stack.S');
    await bench.line(1);
    writeFileSync(path.join(folder, 'build.log'), 'stack.o: warning: objtool: sum_leaks+0xc: return with modified stack frame\n');
    await bench.command('Terminal: Create New Terminal');
    const terminal = page.locator('.terminal-wrapper.active .xterm-rows');
    await terminal.waitFor();
    await bench.until('a shell', () => terminal.innerText(), seen => /[$#%]/.test(seen));
    await page.keyboard.type('clear; cat build.log\n');
    const row = terminal.locator(':scope > div', { hasText: 'return with modified stack frame' }).last();
    await row.waitFor();
    await bench.until('the cursor', async () => {
      const { x, y, height } = await row.boundingBox();
      // The link is looked for when the mouse comes, and followed with the key held.
      await page.mouse.move(x + 200, y + height / 2 + 30);
      await page.mouse.move(x + 120, y + height / 2, { steps: 5 });
      await page.waitForTimeout(500);
      await page.keyboard.down('Control');
      await page.mouse.click(x + 120, y + height / 2);
      await page.keyboard.up('Control');
      await page.waitForTimeout(1500);
      return bench.cursor();
    }, line => line === 10);
    await bench.picture('vscode-terminal');
    step("objtool's line in a terminal is a link to the line that it means");
    await bench.command('Terminal: Kill the Active Terminal Instance');

    await bench.command('orcls: Get Started');
    await page.locator('.gettingStartedContainer', { hasText: 'Get started with orcls' }).first().waitFor();
    await page.locator('.gettingStartedContainer .step-description-container, .gettingStartedContainer .getting-started-step').first().waitFor();
    await bench.picture('vscode-walkthrough');
    step('the walkthrough opens');

    // A setting that only the machine's own settings file can make.
    const file = path.join(state, 'data/Machine/settings.json');
    await bench.command('View: Close All Editors');
    await bench.file('stack.S');
    await page.locator('.statusbar-item', { hasText: 'GNU Assembly (x86)' }).waitFor();
    writeFileSync(file, JSON.stringify({ ...machine, 'orcls.server.path': '/nowhere/orcls' }));
    const toast = page.locator('.notification-toast', { hasText: 'There is no program at /nowhere/orcls' });
    await toast.waitFor();
    await toast.locator('.monaco-button', { hasText: 'How to Install' }).waitFor();
    await bench.until('the status bar', () => bench.status(), seen => /not running/.test(seen ?? ''));
    await bench.untilSquiggles([]);
    await bench.picture('vscode-no-server');
    writeFileSync(file, JSON.stringify(machine));
    await bench.untilSquiggles([10]);
    step('a server that is not there is said, with how to install it; once it is there it runs');
  } catch (error) {
    await bench.picture('vscode-ui-failed');
    throw error;
  } finally {
    await close();
    code.stop();
  }
}
