// run.mjs [small|ui|untrusted|kernel]...: the tests in VS Code. From the environment:
//   ORCLS          the server
//   ORCLS_VSIX     the packaged extension, with the server inside
//   VSCODE_PREFIX  where install-vscode.sh put VS Code
//   ARTIFACTS      where pictures go
//   KERNEL_TREE    a folder with a kernel's src/ and build/ (make O=); the kernel test is left out without it
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { exthost } from './exthost.mjs';
import { ui } from './ui.mjs';
import { untrusted } from './untrusted.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const { ORCLS, ORCLS_VSIX, VSCODE_PREFIX, ARTIFACTS, KERNEL_TREE } = process.env;
for (const [name, value] of Object.entries({ ORCLS, ORCLS_VSIX, VSCODE_PREFIX, ARTIFACTS })) if (!value) throw new Error(`${name} is not set`);
mkdirSync(ARTIFACTS, { recursive: true });

const machine = { 'orcls.server.path': ORCLS };
const tests = {
  small: at => exthost({ ...at, suite: 'small', machine }),
  ui,
  untrusted,
  kernel: at => exthost({ ...at, suite: 'kernel', machine, folder: path.join(KERNEL_TREE, 'src'), settings: { 'orcls.buildDirectory': path.join(KERNEL_TREE, 'build') }, log: undefined }),
};
let failed = 0;
for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(tests)) {
  if (name === 'kernel' && !existsSync(path.join(KERNEL_TREE ?? '', 'build/compile_commands.json'))) {
    console.log('vscode kernel: left out, KERNEL_TREE names no kernel tree');
    continue;
  }
  const scratch = mkdtempSync(path.join(tmpdir(), 'orcls-vscode-'));
  console.log(`vscode ${name}`);
  try {
    const log = path.join(scratch, 'compiler.log');
    execFileSync(path.join(here, '../make-workspace.sh'), [path.join(scratch, 'workspace'), log]);
    await tests[name]({
      prefix: VSCODE_PREFIX, state: path.join(scratch, 'state'), vsix: ORCLS_VSIX, artifacts: ARTIFACTS,
      folder: path.join(scratch, 'workspace/src'), log, settings: { 'orcls.kernel': '6.12', 'orcls.compilers': [path.join(scratch, 'workspace/bin/gcc')] },
    });
  } catch (error) {
    failed++;
    console.log(`  FAIL  ${error.stack}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
process.exit(failed ? 1 : 0);
