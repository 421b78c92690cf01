// What a person does and sees in the workbench, in words a test can use.
import path from 'node:path';

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
  async command(title) {
    await this.page.keyboard.press('F1');
    const input = this.page.locator('.quick-input-widget input[type=text]');
    await input.waitFor();
    await input.fill(`>${title}`);
    await this.page.locator('.quick-input-list .monaco-list-row.focused', { hasText: title }).waitFor();
    await this.page.keyboard.press('Enter');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  /** Opens a file of the folder by the end of its path. */
  async file(name) {
    await this.page.keyboard.press('Control+P');
    const input = this.page.locator('.quick-input-widget input[type=text]');
    await input.waitFor();
    await input.fill(name);
    // The one that Enter would take.
    await this.page.locator('.quick-input-list .monaco-list-row.focused', { hasText: path.basename(name) }).waitFor();
    await this.page.keyboard.press('Enter');
    await this.page.locator('.tab.active', { hasText: path.basename(name) }).waitFor();
    await this.page.locator('.editor-instance .view-lines .view-line').first().waitFor();
  }

  /** Puts the cursor on a line, from 1. */
  async line(number) {
    await this.page.keyboard.press('Control+G');
    const input = this.page.locator('.quick-input-widget input[type=text]');
    await input.waitFor();
    await input.fill(`:${number}`);
    await this.page.keyboard.press('Enter');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  /** Undoes until the file in front is as it was saved. */
  async undoAll() {
    const tab = this.page.locator('.editor-group-container.active .tab.active');
    await this.until('undo', async () => {
      const dirty = (await tab.getAttribute('class')).includes('dirty');
      if (dirty) await this.page.keyboard.press('Control+Z');
      return dirty;
    }, dirty => !dirty, 5000);
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
  async until(what, get, good, milliseconds = 30000) {
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

  /** The hover over a word of a line. */
  async hover(line, word) {
    // Away first, so that an old hover goes.
    await this.page.mouse.move(5, 5);
    await this.page.locator('.monaco-hover:visible').first().waitFor({ state: 'hidden' }).catch(() => undefined);
    const box = await this.page.evaluate(([line, word]) => {
      const editor = document.querySelector('.editor-group-container.active .monaco-editor');
      const number = [...editor.querySelectorAll('.margin-view-overlays .line-numbers')].find(element => Number(element.textContent) === line);
      const y = number.getBoundingClientRect().top;
      const row = [...editor.querySelectorAll('.view-lines .view-line')].find(element => Math.abs(element.getBoundingClientRect().top - y) < 3);
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
    if (!box) throw new Error(`line ${line} does not show ${word}`);
    await this.page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await this.page.mouse.move(box.x + box.width / 2 + 1, box.y + box.height / 2);
    const hover = this.page.locator('.monaco-hover:visible').first();
    await hover.waitFor();
    return (await hover.innerText()).replaceAll('\u00a0', ' ');
  }

  async status() {
    const item = this.page.locator('.statusbar-item[id="orcls.orcls.orcls.status"]');
    return await item.count() ? await item.getAttribute('aria-label') : null;
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
