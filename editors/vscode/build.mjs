// Bundles the extension and the page of its web views into dist/.
import { build } from 'esbuild';
import { rmSync } from 'node:fs';

rmSync('dist', { recursive: true, force: true });
const shared = { bundle: true, minify: true, legalComments: 'external', logLevel: 'warning' };
await build({ ...shared, entryPoints: ['src/extension.ts'], platform: 'node', target: 'node20', format: 'cjs', external: ['vscode'], outfile: 'dist/extension.js' });
await build({ ...shared, entryPoints: ['webview/page.ts', 'webview/page.css'], platform: 'browser', target: 'es2022', format: 'iife', outdir: 'dist' });
