// run.mjs [api|ui|untrusted|kernel|user|whole]...: the tests in VS Code. From the environment:
//   ORCLS          the server
//   ORCLS_VSIX     the packaged extension, with the server inside
//   VSCODE_PREFIX  where install-vscode.sh put VS Code
//   ARTIFACTS      where pictures go
//   KERNEL_TREE    a folder with a kernel's src/, and build/ if it was built there (make O=); or make-kernel.sh's
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { exthost } from './exthost.mjs';
import { kernel } from './kernel.mjs';
import { ui } from './ui.mjs';
import { untrusted } from './untrusted.mjs';
import { user } from './user.mjs';
import { whole } from './whole.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const { ORCLS, ORCLS_VSIX, VSCODE_PREFIX, ARTIFACTS, KERNEL_TREE } = process.env;
for (const [name, value] of Object.entries({ ORCLS, ORCLS_VSIX, VSCODE_PREFIX, ARTIFACTS, KERNEL_TREE })) if (!value) throw new Error(`${name} is not set`);
mkdirSync(ARTIFACTS, { recursive: true });

const tests = { api: exthost, ui, untrusted, kernel, user, whole };
let failed = 0;
for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(tests)) {
  const scratch = mkdtempSync(path.join(tmpdir(), 'orcls-vscode-'));
  console.log(`vscode ${name}`);
  try {
    const log = path.join(scratch, 'compiler.log');
    execFileSync(path.join(here, '../make-workspace.sh'), [path.join(scratch, 'workspace'), log]);
    execFileSync(path.join(here, '../make-user.sh'), [path.join(scratch, 'fiber')]);
    await tests[name]({
      prefix: VSCODE_PREFIX, state: path.join(scratch, 'state'), vsix: ORCLS_VSIX, artifacts: ARTIFACTS, server: ORCLS, tree: KERNEL_TREE,
      folder: path.join(scratch, 'workspace/src'), user: path.join(scratch, 'fiber'), log, settings: { 'orcls.kernel': '6.12' },
      machine: { 'orcls.compilers': [path.join(scratch, 'workspace/bin/gcc')] },
    });
  } catch (error) {
    failed++;
    console.log(`  FAIL  ${error.stack}`);
  } finally {
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  }
}
process.exit(failed ? 1 : 0);
