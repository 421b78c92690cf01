// A call typed into code that may not be instrumented, in a tree that checks vmlinux.o: KERNEL_TREE/build with vmlinux.a. Nothing is saved.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { browse, serve } from './session.mjs';
import { Workbench } from './workbench.mjs';

const FILE = 'arch/x86/kernel/process_64.c';

export async function whole({ prefix, state, vsix, tree, artifacts, server }) {
  const folder = path.join(tree, 'src'), build = path.join(tree, 'build');
  if (!existsSync(path.join(build, 'vmlinux.a'))) {
    console.log(`  no vmlinux.a in ${build}`);
    return;
  }
  const lines = readFileSync(path.join(folder, FILE), 'utf8').split('\n');
  // In `__rdgsbase_inactive`, before the first swapgs.
  const start = lines.findIndex(line => line.includes('__rdgsbase_inactive(void)'));
  const at = lines.findIndex((line, number) => number > start && line.includes('native_swapgs();')) + 1;
  const machine = { 'orcls.server.path': server };
  const code = await serve({ prefix, state, vsix, folder, machine, settings: { 'orcls.buildDirectory': build } });
  const { page, close } = await browse({ state, viewport: { width: 1440, height: 810 } });
  const bench = new Workbench(page, artifacts);
  try {
    await bench.open(code.url, folder);
    await bench.file(FILE);
    await bench.line(at);
    await bench.until('the status bar', () => bench.status(), seen => /belongs to the text/.test(seen ?? ''));
    await page.keyboard.press('Home');
    await page.keyboard.type('schedule();\n');
    await bench.until('a finding', () => bench.problems(), seen => seen > 0);
    await bench.until('a squiggle', () => bench.squiggles(), seen => seen.includes(at));
    console.log(`  ok    schedule() typed on line ${at} is underlined`);
    await bench.hover(at, 'schedule', /may be instrumented/);
    await bench.picture('vscode-whole');
    await bench.undoAll();
    await bench.until('no problem', () => bench.problems(), seen => seen === 0);
    console.log('  ok    undoing clears it');
  } catch (error) {
    await bench.picture('vscode-whole-failed');
    throw error;
  } finally {
    await close();
    code.stop();
  }
}
