// What a person does and sees in the workbench, in words a test can use.
import path from 'node:path';
import { PATIENCE } from './session.mjs';

export class Workbench {
  constructor(page, artifacts) {
    this.page = page;
    this.artifacts = artifacts;
  }

  async open(url, folder) {
    await this.page.goto(`${url}/?folder=${encodeURIComponent(folder)}`, { waitUntil: 'domcontentloaded' });
    await this.page.waitForSelector('.monaco-workbench .explorer-folders-view', { timeout: 60000 });
  }

  /** Runs a command of the palette by its title. */
  command(title) {
    return this.pick('F1', `>${title}`, title);
  }

  /** Opens a file of the folder by the end of its path. */
  async file(name) {
    await this.pick('Control+P', name, path.basename(name));
    await this.page.locator('.tab.active', { hasText: path.basename(name) }).waitFor();
    await this.page.locator('.editor-instance .view-lines .view-line').first().waitFor();
  }

  /** Puts the cursor on a line of the text, from 1. A panel beside the text that was clicked in may still have the focus. */
  line(number) {
    return this.pick(['Control+1', 'Control+G'], `:${number}`, /^(?!.*text editor first)/);
  }

  /**
   * Opens the quick input by a key or several, types into it, and takes the entry with that text. A workbench that is still starting takes
   * the focus, and with it closes the input, and does not list every command yet: then it is opened once more.
   */
  async pick(keys, text, entry) {
    const widget = this.page.locator('.quick-input-widget'), input = widget.locator('input[type=text]');
    const chosen = this.page.locator('.quick-input-list .monaco-list-row.focused', { hasText: entry });
    await this.until(`"${text}" in the quick input`, async () => {
      try {
        for (const key of [keys].flat()) await this.page.keyboard.press(key);
        await input.waitFor({ timeout: 5000 });
        await input.fill(text, { timeout: 5000 });
        // Files of a large tree take a while to be found.
        await chosen.waitFor({ timeout: 20000 });
        await input.press('Enter', { timeout: 5000 });
        return true;
      } catch (error) {
        if (error.name !== 'TimeoutError') throw error;
        await this.page.keyboard.press('Escape');
        return false;
      }
    }, Boolean);
    await widget.waitFor({ state: 'hidden' });
  }

  /** How many problems there are in all, by the status bar. */
  async problems() {
    const text = await this.page.locator('.statusbar-item[id="status.problems"]').innerText();
    return text.match(/\d+/g).reduce((sum, count) => sum + Number(count), 0);
  }

  /** The cursor's line, by the status bar. */
  async cursor() {
    const text = await this.page.locator('.statusbar-item', { hasText: /Ln \d+/ }).innerText();
    return Number(/Ln (\d+)/.exec(text)[1]);
  }

  /** Applies the first quick fix at the first word of the cursor's line; `seen` is told when the list is there. */
  async quickFix(seen = () => undefined) {
    // On the word itself, not on the white space before it.
    await this.page.keyboard.press('Home');
    const first = this.page.locator('.action-widget .monaco-list-row.focused');
    await this.until('a list of fixes', async () => {
      await this.page.keyboard.press('Control+.');
      return first.waitFor({ timeout: 10000 }).then(() => true, () => false);
    }, Boolean);
    await seen();
    await this.page.keyboard.press('Enter');
    await first.waitFor({ state: 'hidden' });
  }

  /** Undoes until the file in front is as it was saved. */
  async undoAll() {
    const tab = this.page.locator('.editor-group-container.active .tab.active');
    await this.until('undo', async () => {
      const dirty = (await tab.getAttribute('class')).includes('dirty');
      if (dirty) await this.page.keyboard.press('Control+Z');
      return dirty;
    }, dirty => !dirty);
  }

  /** The lines that are drawn, top first, with the inlay hints in them, and their line numbers. */
  async lines() {
    return this.page.evaluate(() => {
      const editor = document.querySelector('.editor-group-container.active .monaco-editor') ?? document.querySelector('.monaco-editor');
      const top = element => element.getBoundingClientRect().top;
      const numbers = [...editor.querySelectorAll('.margin-view-overlays .line-numbers')].map(element => [top(element), Number(element.textContent)]);
      return [...editor.querySelectorAll('.view-lines .view-line')].sort((a, b) => top(a) - top(b)).map(element => ({
        number: numbers.find(([y]) => Math.abs(y - top(element)) < 3)?.[1],
        text: element.innerText.replaceAll('\u00a0', ' ').replace(/[\u200b\u200c]/g, ''),
      }));
    });
  }

  /** The numbers of the lines that have a squiggle. */
  async squiggles() {
    return this.page.evaluate(() => {
      const editor = document.querySelector('.editor-group-container.active .monaco-editor') ?? document.querySelector('.monaco-editor');
      const middle = element => { const box = element.getBoundingClientRect(); return box.top + box.height / 2; };
      const numbers = [...editor.querySelectorAll('.margin-view-overlays .line-numbers')].map(element => [element.getBoundingClientRect(), Number(element.textContent)]);
      const found = [...editor.querySelectorAll('.view-overlays .cdr')].filter(element => /squiggly-(error|warning|info)/.test(element.className))
        .map(element => numbers.find(([box]) => box.top <= middle(element) && middle(element) <= box.bottom)?.[1]);
      return [...new Set(found)].sort((a, b) => a - b);
    });
  }

  /** Waits until `what` is so, and says what was there instead. */
  async until(what, get, good, milliseconds = PATIENCE) {
    const start = Date.now();
    let seen;
    for (;;) {
      seen = await get();
      if (good(seen)) return seen;
      if (Date.now() - start > milliseconds) throw new Error(`${what}: saw ${JSON.stringify(seen)}`);
      await this.page.waitForTimeout(50);
    }
  }

  untilSquiggles(lines) {
    return this.until(`squiggles on lines ${lines}`, () => this.squiggles(), seen => JSON.stringify(seen) === JSON.stringify(lines));
  }

  /** Waits until the hover over a word of a line says `wanted`. */
  async hover(line, word, wanted) {
    const hover = this.page.locator('.monaco-hover:visible').first();
    return this.until(`a hover with ${wanted}`, async () => {
      // Away first: an older hover goes, and one that did not come is asked for anew.
      await this.page.mouse.move(5, 5);
      await hover.waitFor({ state: 'hidden', timeout: 3000 }).catch(() => undefined);
      const box = await this.box(line, word);
      if (!box) return null;
      await this.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
      await this.page.mouse.move(box.x + box.width / 2 + 1, box.y + box.height / 2);
      // What several sources say is put together as it comes.
      let text = '';
      for (let tries = 0; tries < 50 && !wanted.test(text); tries++) {
        await this.page.waitForTimeout(100);
        text = await hover.innerText({ timeout: 100 }).catch(() => '');
      }
      return text.replaceAll('\u00a0', ' ');
    }, text => text !== null && wanted.test(text));
  }

  /** Where a word of a line is drawn. */
  box(line, word) {
    return this.page.evaluate(([line, word]) => {
      const editor = document.querySelector('.editor-group-container.active .monaco-editor');
      const number = [...editor.querySelectorAll('.margin-view-overlays .line-numbers')].find(element => Number(element.textContent) === line);
      if (!number) return null;
      const y = number.getBoundingClientRect().top;
      const row = [...editor.querySelectorAll('.view-lines .view-line')].find(element => Math.abs(element.getBoundingClientRect().top - y) < 3);
      if (!row) return null;
      const walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
      for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const at = node.data.indexOf(word);
        if (at < 0) continue;
        const range = document.createRange();
        range.setStart(node, at);
        range.setEnd(node, at + word.length);
        const { x, y, width, height } = range.getBoundingClientRect();
        return { x, y, width, height };
      }
      return null;
    }, [line, word]);
  }

  /** Our item of the status bar. */
  item() {
    return this.page.locator('.statusbar-item[id="orcls.orcls.orcls.status"]');
  }

  async status() {
    return await this.item().count() ? await this.item().getAttribute('aria-label') : null;
  }

  /** The document inside the web view whose page holds `selector`. */
  async view(selector) {
    return this.until(`a web view with ${selector}`, async () => {
      for (const frame of this.page.frames()) if (await frame.locator(selector).count().catch(() => 0)) return frame;
      return null;
    }, Boolean);
  }

  async picture(name) {
    await this.page.screenshot({ path: path.join(this.artifacts, `${name}.png`) });
  }
}
