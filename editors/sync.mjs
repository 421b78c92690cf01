// Writes what is kept in one place to where it is shown: the version (Cargo.toml) and the settings (settings.json) into
// vscode/package.json, nvim/doc/orcls.txt and ../docs/editors.md. With --check it only says what differs, and fails.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const at = name => fileURLToPath(new URL(name, import.meta.url));
const read = name => readFileSync(at(name), 'utf8');
const check = process.argv.includes('--check');

const version = /^version = "([^"]+)"/m.exec(read('../Cargo.toml'))[1];
const settings = JSON.parse(read('settings.json'));
const ofServer = Object.entries(settings).filter(([, setting]) => !setting.client);
const values = s => s.enum ? s.enum.map(v => `"${v}"`).join(' | ') : s.type === 'array' ? 'list of strings' : s.type === 'object' ? 'code to severity' : s.type;

function packageJson(text) {
  const manifest = JSON.parse(text);
  manifest.version = version;
  manifest.contributes.configuration.properties =
    Object.fromEntries(Object.entries(settings).map(([name, { client, restricted, ...shown }]) => [name, shown]));
  manifest.capabilities.untrustedWorkspaces.restrictedConfigurations =
    Object.keys(settings).filter(name => settings[name].restricted);
  return JSON.stringify(manifest, null, 2) + '\n';
}

/** Replaces what stands between two lines that contain the marks. */
function between(text, begin, end, inner) {
  const from = text.indexOf('\n', text.indexOf(begin)) + 1, to = text.lastIndexOf('\n', text.indexOf(end)) + 1;
  if (!text.includes(begin) || !text.includes(end)) throw new Error(`no ${begin} ... ${end}`);
  return text.slice(0, from) + inner + text.slice(to);
}

const table = () => '| setting | values | default | |\n|---|---|---|---|\n' + ofServer.map(([name, s]) =>
  `| \`${name}\` | ${values(s).replaceAll('|', '\\|')} | \`${JSON.stringify(s.default)}\` | ${s.markdownDescription} |\n`).join('');

const help = () => ofServer.map(([name, s]) => {
  const tag = `*${name}*`;
  const words = s.markdownDescription.split(/\s+/), lines = [''];
  for (const word of words) {
    if (lines.at(-1).length + word.length > 64) lines.push('');
    lines[lines.length - 1] += (lines.at(-1) ? ' ' : '') + word;
  }
  return `${name.padEnd(78 - tag.length)}${tag}\n    ${values(s)}, default ${JSON.stringify(s.default)}\n` +
    lines.map(line => `    ${line}\n`).join('') + '\n';
}).join('');

const targets = {
  'vscode/package.json': packageJson,
  '../docs/editors.md': text => between(text, '<!-- settings.json -->', '<!-- end -->', table()),
  'nvim/doc/orcls.txt': text => between(text, '*orcls-settings*', '*orcls-settings-end*', '\n' + help()),
};
for (const [name, make] of Object.entries(targets)) {
  const old = read(name), made = make(old);
  if (old === made) continue;
  if (check) {
    console.error(`editors/${name} is not what Cargo.toml and settings.json say: run node editors/sync.mjs`);
    process.exitCode = 1;
  } else writeFileSync(at(name), made);
}
