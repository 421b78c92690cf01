// Writes what is kept in one place to where it is shown: the version, the project's address and its maintainer (Cargo.toml:
// `version`, `repository`, the first of `authors`) and the settings (settings.json) into the clients, the packaging files and
// the documents. With --check it only says what differs, and fails.
//
// As long as Cargo.toml has no `repository`, the project has no address: where a format insists on one stands example.invalid,
// a name that can never lead anywhere (RFC 2606), and where none is needed, none.
import { readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const at = name => fileURLToPath(new URL(name, import.meta.url));
const read = name => readFileSync(at(name), 'utf8');
const check = process.argv.includes('--check');

const field = name => new RegExp(`^${name} = \\[?"([^"]+)"`, 'm').exec(read('../Cargo.toml'))?.[1];
const version = field('version'), repository = field('repository'), author = field('authors');
const maintainer = author ?? 'orcls developers <orcls@example.invalid>';
const settings = JSON.parse(read('settings.json'));
const ofServer = Object.entries(settings).filter(([, setting]) => !setting.client);
const values = s => s.enum ? s.enum.map(v => `"${v}"`).join(' | ') : s.type === 'array' ? 'list of strings' : s.type === 'object' ? 'code to severity' : s.type;

function packageJson(text) {
  const manifest = JSON.parse(text);
  manifest.version = version;
  delete manifest.repository;
  if (repository) manifest.repository = { type: 'git', url: repository };
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

/** Replaces what the one group of each pattern matches. */
const lines = (...pairs) => text => pairs.reduce((text, [pattern, value]) => {
  if (!pattern.test(text)) throw new Error(`nothing matches ${pattern}`);
  return text.replace(pattern, (whole, before) => before + value);
}, text);

/** Has the line that begins with `begin` behind the one that begins with `after`, or, without a value, no such line. */
const optional = (after, begin, value, end = '') => text => {
  const all = text.split('\n').filter(line => !line.startsWith(begin));
  const at = all.findIndex(line => line.startsWith(after));
  if (at < 0) throw new Error(`no line begins with ${after}`);
  if (value) all.splice(at + 1, 0, begin + value + end);
  return all.join('\n');
};
const all = (...makes) => text => makes.reduce((text, make) => make(text), text);

const reporting = () => (author
  ? `Write to ${author} before you open an issue, with the command file or the object, and what it did.`
  : `The project has no public address yet, and nobody to write to. Tell whoever gave you orcls, and tell it privately, with
the command file or the object, and what it did.`) + '\n';

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
  '../SECURITY.md': text => between(text, '<!-- Cargo.toml: authors -->', '<!-- end -->', reporting()),
  'nvim/README.md': lines([/^(git clone )\S+/m, repository ?? 'URL-OF-THIS-REPOSITORY']),
  'mason/package.yaml': lines([/^(homepage: )\S+/m, repository ?? 'https://example.invalid/orcls'], [/^(  id: pkg:cargo\/orcls@)\S+/m, version]),
  '../packaging/aur/PKGBUILD': all(optional('arch=', 'url=', repository), lines([/^(pkgver=)\S+/m, version])),
  '../packaging/nix/package.nix': all(
    optional('    description =', '    homepage = "', repository, '";'), lines([/^(  version = ").*(?=";)/m, version])),
  '../packaging/debian/control': all(optional('Standards-Version:', 'Homepage: ', repository), lines([/^(Maintainer: ).*/m, maintainer])),
  '../packaging/debian/copyright': all(optional('Upstream-Name:', 'Source: ', repository), optional('Upstream-Name:', 'Upstream-Contact: ', author)),
  '../packaging/debian/changelog': lines([/^(orcls \().*(?=\))/, version], [/^( -- ).*(?=  )/m, maintainer]),
};
for (const [name, make] of Object.entries(targets)) {
  const old = read(name), made = make(old);
  if (old === made) continue;
  if (check) {
    console.error(`${relative(at('..'), at(name))} is not what Cargo.toml and settings.json say: run node editors/sync.mjs`);
    process.exitCode = 1;
  } else writeFileSync(at(name), made);
}
