// A file of the kernel, by the flags and the command that Kbuild left: what a person sees of it, and of an edit. It is never saved.
import assert from 'node:assert';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { browse, serve } from './session.mjs';
import { Workbench } from './workbench.mjs';

const FILE = 'arch/x86/lib/copy_user_64.S';

export async function kernel({ prefix, state, vsix, tree, artifacts }) {
  const folder = path.join(tree, 'src'), build = path.join(tree, 'build');
  const saved = readFileSync(path.join(folder, FILE), 'utf8');
  // The first line of the function, from 1.
  const first = saved.split('\n').findIndex(line => line.startsWith('SYM_FUNC_START(')) + 2;
  const code = await serve({ prefix, state, vsix, folder, settings: existsSync(build) ? { 'orcls.buildDirectory': build } : {} });
  const { page, close } = await browse({ state, viewport: { width: 1440, height: 810 } });
  const bench = new Workbench(page, artifacts);
  const step = text => console.log(`  ok    ${text}`);
  try {
    await bench.open(code.url, folder);
    await bench.file(FILE);
    await bench.line(first);
    await bench.hover(first, saved.split('\n')[first - 1].trim().split(/\s/)[0], /rep_movs_alternative[^]*CFA = rsp\+8[^]*return address/);
    step('the hover has the state');
    await bench.until('the status bar', () => bench.status(), seen => /belongs to the text/.test(seen ?? ''));
    assert.strictEqual(await bench.problems(), 0);
    step('as it is, it is silent');

    await bench.command('orcls: Show Alternatives');
    const view = await bench.view('.group');
    await bench.until('the alternatives', () => view.locator('.summary').innerText(), seen => /^\d+ alternatives?, no conflict$/.test(seen));
    await view.locator('.group .insn .link', { hasText: 'rep movs' }).first().click();
    await bench.until('the cursor', () => bench.cursor(), line => saved.split('\n')[line - 1]?.includes('ALTERNATIVE'));
    step('the alternatives are shown, and lead to their line');

    await bench.line(first);
    await page.keyboard.press('Home');
    // In one change: half a word is a finding as well, the assembler's, on its own line.
    await page.keyboard.insertText('push %rbx\n');
    await bench.until('a finding', () => bench.problems(), seen => seen > 0);
    // What the function leaves on the stack is found where it returns.
    const returns = saved.split('\n').flatMap((line, at) => /^(\d+:)?\s*RET\b/.test(line) ? [at + 2] : []);
    let found;
    for (const line of returns) {
      await bench.line(line);
      const seen = await bench.squiggles();
      assert(seen.every(each => returns.includes(each)), `squiggles on ${seen}, returns on ${returns}`);
      if (seen.includes(line)) found ??= line;
    }
    assert(found, `no squiggle on ${returns}`);
    await bench.line(first);
    await bench.until('the hint', () => bench.lines(), seen => seen.some(line => line.number === first && /cfa = rsp\+16/.test(line.text)));
    await bench.line(found);
    await bench.hover(found, 'RET', new RegExp(`pushed at line ${first}, never popped`));
    await bench.picture('vscode-kernel');
    step(`a push that is typed on line ${first} is found on line ${found}, with a hint on its own`);

    await bench.quickFix();
    await bench.until('no problem', () => bench.problems(), seen => seen === 0);
    step('a quick fix clears it');
    await page.keyboard.press('Control+Z');
    await bench.until('the finding', () => bench.problems(), seen => seen > 0);
    await bench.undoAll();
    await bench.until('no problem', () => bench.problems(), seen => seen === 0);
    step('undo brings it back, and clears it');
    assert.strictEqual(readFileSync(path.join(folder, FILE), 'utf8'), saved, 'the file was written');
  } catch (error) {
    await bench.picture('vscode-kernel-failed');
    throw error;
  } finally {
    await close();
    code.stop();
  }
}
