// screen.mjs COLUMNS ROWS OUT.png < ANSI: draws what a terminal shows, in a real terminal emulator in a headless Chromium.
import { chromium } from 'playwright-core';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [columns, rows, out] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const xterm = require.resolve('@xterm/xterm');
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage({ viewport: { width: 1600, height: 1200 } });
await page.setContent('<body style="margin:0"><div id="screen" style="display:inline-block;padding:10px;background:#14161b"></div></body>');
await page.addScriptTag({ path: xterm });
await page.addStyleTag({ path: xterm.replace(/lib\/.*$/, 'css/xterm.css') });
const text = readFileSync(0, 'utf8').replace(/\n$/, '').replaceAll('\n', '\r\n');
await page.evaluate(([columns, rows, text]) => new Promise(done => {
  const terminal = new Terminal({ cols: columns, rows, fontFamily: 'DejaVu Sans Mono, monospace', fontSize: 14, lineHeight: 1.15, theme: { background: '#14161b', foreground: '#e0e2ea', cursor: '#14161b' }, allowProposedApi: true });
  terminal.open(document.getElementById('screen'));
  terminal.write('\x1b[?25l' + text, () => requestAnimationFrame(() => requestAnimationFrame(done)));
}), [Number(columns), Number(rows), text]);
await page.locator('#screen').screenshot({ path: out });
await browser.close();
