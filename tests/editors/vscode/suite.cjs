// Runs inside VS Code's extension host: what the extension and the server say through VS Code's own interfaces.
'use strict';
const assert = require('node:assert');
const fs = require('node:fs');
const path = require('node:path');
const vscode = require('vscode');

const root = () => vscode.workspace.workspaceFolders[0].uri;
const pause = milliseconds => new Promise(done => setTimeout(done, milliseconds));

async function until(what, get, good = Boolean, milliseconds = 120000) {
  const start = Date.now();
  for (;;) {
    const seen = await get();
    if (good(seen)) return seen;
    if (Date.now() - start > milliseconds) throw new Error(`${what}: saw ${JSON.stringify(seen)}`);
    await pause(50);
  }
}

async function open(name) {
  const uri = vscode.Uri.joinPath(root(), name);
  const document = await vscode.workspace.openTextDocument(uri);
  const editor = await vscode.window.showTextDocument(document);
  return { uri, document, editor };
}

const findings = uri => vscode.languages.getDiagnostics(uri).filter(each => each.source === 'orcls');
/** The findings as `LINE CODE`, with lines as a person counts them. */
const brief = uri => findings(uri).map(each => `${each.range.start.line + 1} ${each.code.value ?? each.code}`).sort();
const untilFindings = (uri, wanted) => until(`findings ${wanted}`, () => brief(uri), seen => JSON.stringify(seen) === JSON.stringify(wanted));
const LEAK = ['10 return-with-modified-frame'];

async function insertLine(editor, line, text) {
  await editor.edit(edit => edit.insert(new vscode.Position(line - 1, 0), text + '\n'));
}

/** The tests, in order. */
const tests = {
  async 'a finding stands on its line, with the way there and objtool\'s words'() {
    const { uri, document } = await open('stack.S');
    await untilFindings(uri, LEAK);
    const [finding] = findings(uri);
    assert.match(document.getText(finding.range), /ret/);
    assert.match(finding.data.objtool, /sum_leaks\+0x\w+: return with modified stack frame/);
    assert(finding.relatedInformation.some(step => step.location.range.start.line === 5), 'the push on line 6 is not named');
    assert(finding.code.target, 'the code has no link');
  },
  async 'a hover says where the caller\'s frame is'() {
    const { uri } = await open('stack.S');
    const hovers = await vscode.commands.executeCommand('vscode.executeHoverProvider', uri, new vscode.Position(6, 2));
    const text = hovers.flatMap(hover => hover.contents.map(part => part.value)).join('\n');
    assert.match(text, /rsp\+16/);
    assert.match(text, /rbx/);
  },
  async 'assembly has an outline, definitions and partners of a push'() {
    const { uri, document } = await open('stack.S');
    await untilFindings(uri, LEAK);
    const symbols = await until('an outline', () => vscode.commands.executeCommand('vscode.executeDocumentSymbolProvider', uri), seen => seen?.length);
    assert(symbols.some(symbol => symbol.name === 'sum_leaks'), `only ${symbols.map(symbol => symbol.name)}`);
    const push = document.getText().split('\n').findIndex((line, at) => at > 10 && /\tpush\t/.test(line));
    const at = new vscode.Position(push, 2);
    const places = await vscode.commands.executeCommand('vscode.executeDefinitionProvider', uri, at);
    assert(places.length && document.lineAt(places[0].range.start.line).text.includes('pop'), JSON.stringify(places));
    const marks = await vscode.commands.executeCommand('vscode.executeDocumentHighlights', uri, at);
    assert(marks.length > 1, JSON.stringify(marks));
    const offered = await vscode.commands.executeCommand('vscode.executeCompletionItemProvider', uri, new vscode.Position(push, 1));
    assert(offered.items.some(item => (item.label.label ?? item.label) === 'UNWIND_HINT_FUNC'), 'no hint is offered');
  },
  async 'inlay hints stand where the CFA changes'() {
    const { uri } = await open('stack.S');
    const range = new vscode.Range(0, 0, 20, 0);
    const hints = await until('inlay hints', () => vscode.commands.executeCommand('vscode.executeInlayHintProvider', uri, range), seen => seen?.length);
    const lines = hints.map(hint => hint.position.line + 1);
    for (const line of [6, 14, 18]) assert(lines.includes(line), `no hint on line ${line}, only on ${lines}`);
    assert(!lines.includes(7), 'a hint where nothing changes');
  },
  async 'a quick fix clears the finding, and undo brings it back'() {
    const { uri } = await open('stack.S');
    await untilFindings(uri, LEAK);
    const fixes = await until('a quick fix', () => vscode.commands.executeCommand('vscode.executeCodeActionProvider', uri, findings(uri)[0].range, 'quickfix', 8),
      seen => seen?.some(action => action.edit));
    const fix = fixes.find(action => action.edit);
    assert(await vscode.workspace.applyEdit(fix.edit));
    await untilFindings(uri, []);
    await vscode.commands.executeCommand('undo');
    await untilFindings(uri, LEAK);
  },
  async 'what is typed brings a finding, and undo clears it'() {
    const { uri, document, editor } = await open('stack.S');
    const saved = fs.readFileSync(uri.fsPath, 'utf8');
    await insertLine(editor, 16, '\tpush\t%rax');
    await untilFindings(uri, [...LEAK, '20 return-with-modified-frame']);
    await vscode.commands.executeCommand('undo');
    await untilFindings(uri, LEAK);
    assert.strictEqual(fs.readFileSync(uri.fsPath, 'utf8'), saved, 'the file was written');
    assert.strictEqual(document.getText(), saved);
  },
  async 'a conflict in alternatives is found'() {
    const { uri } = await open('save_fl.S');
    await untilFindings(uri, ['8 alternative-stack-conflict']);
  },
  async 'a C file is analysed while its inline assembly is typed'() {
    const { uri, document, editor } = await open('flags.c');
    await until('inlay or hover', () => vscode.commands.executeCommand('vscode.executeHoverProvider', uri, new vscode.Position(7, 6)), seen => seen?.length);
    assert.deepStrictEqual(brief(uri), []);
    const at = document.getText().indexOf('\\n\\tpop %0');
    const range = new vscode.Range(document.positionAt(at), document.positionAt(at + '\\n\\tpop %0'.length));
    await editor.edit(edit => edit.replace(range, ''));
    await until('a finding', () => brief(uri), seen => seen.length === 1 && seen[0].endsWith('return-with-modified-frame'));
    await vscode.commands.executeCommand('undo');
    await untilFindings(uri, []);
  },
  async 'assembly that nobody claims gets the grammar that comes along'() {
    const { uri } = await open('stack.S');
    const language = () => vscode.workspace.textDocuments.find(each => each.uri.toString() === uri.toString()).languageId;
    assert.strictEqual(language(), 'orcls-gas');
    await vscode.languages.setTextDocumentLanguage(await vscode.workspace.openTextDocument(uri), 'plaintext');
    await pause(300);
    assert.strictEqual(language(), 'plaintext', 'the user\'s choice was overruled');
    await vscode.languages.setTextDocumentLanguage(await vscode.workspace.openTextDocument(uri), 'orcls-gas');
    await untilFindings(uri, LEAK);
  },
  async 'each command of the manifest is there'() {
    const { contributes } = vscode.extensions.getExtension('orcls.orcls').packageJSON;
    const there = new Set(await vscode.commands.getCommands(true));
    assert.deepStrictEqual(contributes.commands.map(each => each.command).filter(command => !there.has(command)), []);
  },
  async 'a bug report has the status and the findings, and no source text'() {
    await open('stack.S');
    await vscode.commands.executeCommand('orcls.copyBugReport');
    const report = await vscode.env.clipboard.readText();
    assert.match(report, /"state": "fresh"/);
    assert.match(report, /return with modified stack frame/);
    assert(!report.includes('SPDX'), 'the report quotes the file');
  },
  async 'a comparison with objtool says what it compared'() {
    await open('stack.S');
    await vscode.commands.executeCommand('orcls.verify');
    // The workspace has no objtool of its own.
    assert.match(vscode.window.activeTextEditor.document.getText(), /0 of 0 objects agree with objtool/);
    await vscode.commands.executeCommand('workbench.action.closeActiveEditor');
  },
  async 'a restarted server knows the open files'() {
    const { uri } = await open('stack.S');
    await vscode.commands.executeCommand('orcls.restart');
    await untilFindings(uri, LEAK);
  },
  async 'checking the workspace finds what is in files that are not open'() {
    await vscode.commands.executeCommand('workbench.action.closeAllEditors');
    await vscode.commands.executeCommand('orcls.checkWorkspace');
    const uri = vscode.Uri.joinPath(root(), 'save_fl.S');
    await until('a finding in a closed file', () => brief(uri), seen => seen.includes('8 alternative-stack-conflict'));
  },
};

exports.run = async () => {
  const failed = [];
  for (const [name, test] of Object.entries(tests)) {
    const start = Date.now();
    try {
      await test();
      console.log(`ok    ${name} (${Date.now() - start} ms)`);
    } catch (error) {
      failed.push(name);
      console.log(`FAIL  ${name}: ${error.stack}`);
    }
  }
  if (!fs.readFileSync(process.env.ORCLS_COMPILER_LOG, 'utf8')) failed.push('no compiler ran: the untrusted workspace would prove nothing');
  if (failed.length) throw new Error(`failed: ${path.basename(root().fsPath)}: ${failed.join('; ')}`);
};
