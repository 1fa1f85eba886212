import { DirListing, type FileBrowser, type IFileBrowserFactory } from '@jupyterlab/filebrowser';
import type { Contents } from '@jupyterlab/services';
import type { Widget } from '@lumino/widgets';

import type { ILedger } from '../tokens';
import { FileMarks, type IFileMark } from './fileMarks';

const CLASS = 'nbl-FileMark';

/**
 * Marks on the items of every file browser. A listing draws its items through a renderer, again and again with nodes that it
 * uses anew; the mark is drawn after it. It stands over the item's icon, so that nothing moves.
 */
export class Decoration {
  constructor(
    private readonly ledger: ILedger,
    private readonly browsers: IFileBrowserFactory['tracker']
  ) {
    browsers.widgetAdded.connect((_, browser) => {
      this.add(browser);
    });
    browsers.forEach(browser => {
      this.add(browser);
    });
    ledger.state.changed.connect(() => {
      this.update();
    });
  }

  set enabled(on: boolean) {
    this.on = on;
    this.data = null;
    this.update(true);
  }

  private add(browser: FileBrowser): void {
    const listing = listingOf(browser);
    if (!listing) {
      return;
    }
    const { renderer } = listing;
    if (!this.dressed.has(renderer)) {
      this.dressed.add(renderer);
      const draw = renderer.updateItemNode.bind(renderer);
      renderer.updateItemNode = (node, item, ...rest) => {
        draw(node, item, ...rest);
        this.mark(node, item);
      };
    }
    listing.update();
  }

  /** Another state: draw the listings again if the data in it is another. */
  private update(always = false): void {
    const data = this.on ? (this.ledger.state.value?.data ?? null) : null;
    if (data === this.data && !always) {
      return;
    }
    this.data = data;
    this.marks = data ? new FileMarks(data, this.ledger.trans) : null;
    this.browsers.forEach(browser => {
      listingOf(browser)?.update();
    });
  }

  private mark(node: HTMLElement, item: Contents.IModel): void {
    const path = this.marks ? this.ledger.projectPath(item.path) : null;
    show(node, path ? (this.marks?.at(path) ?? null) : null);
  }

  private readonly dressed = new WeakSet<DirListing.IRenderer>();
  private data: unknown = null;
  private marks: FileMarks | null = null;
  private on = true;
}

function show(node: HTMLElement, mark: IFileMark | null): void {
  const there = node.querySelector<HTMLElement>(`.${CLASS}`);
  if (!mark) {
    there?.remove();
    return;
  }
  const shown = there ?? document.createElement('span');
  if (!there) {
    shown.className = CLASS;
    shown.setAttribute('role', 'img');
    (node.querySelector('.jp-DirListing-itemName') ?? node).appendChild(shown);
  }
  if (shown.title !== mark.title) {
    shown.title = mark.title;
    shown.setAttribute('aria-label', mark.title);
    shown.dataset.state = mark.state;
    shown.textContent = mark.sign;
  }
}

function listingOf(widget: Widget): DirListing | null {
  for (const child of widget.children()) {
    const found = child instanceof DirListing ? child : listingOf(child);
    if (found) {
      return found;
    }
  }
  return null;
}
