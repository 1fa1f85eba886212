import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import { Signal } from '@lumino/signaling';
import { describe, expect, it, vi } from 'vitest';

import { Unsaved } from './unsaved';

/** A document whose model can be made dirty, as far as `Unsaved` looks at one. */
class Paper {
  isDisposed = false;
  contentsModel = { writable: true };
  readonly saveState = new Signal<this, string>(this);
  readonly disposed = new Signal<this, undefined>(this);
  readonly model: { dirty: boolean; stateChanged: Signal<unknown, unknown> } = {
    dirty: false,
    stateChanged: new Signal<unknown, unknown>(this)
  };
  constructor(readonly localPath: string) {}
  type(): void {
    this.model.dirty = true;
    this.model.stateChanged.emit(undefined);
  }
  save(): Promise<void> {
    this.model.dirty = false;
    return Promise.resolve();
  }
}

function opened(...papers: Paper[]) {
  const shell = {
    currentChanged: new Signal<object, void>({}),
    widgets: () => papers[Symbol.iterator]()
  };
  const documents = { contextForWidget: (paper: unknown) => paper };
  const place = (path: string) => (path.startsWith('wine/') ? path.slice(5) : null);
  const unsaved = new Unsaved(
    shell as unknown as JupyterFrontEnd.IShell,
    documents as unknown as IDocumentManager,
    place
  );
  return unsaved;
}

describe('open documents', () => {
  it('are told when they hold what the disk does not, and are saved together', async () => {
    vi.useFakeTimers();
    const [one, other, elsewhere] = [
      new Paper('wine/b.ipynb'),
      new Paper('wine/a.py'),
      new Paper('notes.md')
    ];
    const unsaved = opened(one, other, elsewhere);
    const heard = vi.fn();
    unsaved.changed.connect(heard);
    unsaved.look();
    vi.advanceTimersByTime(300);
    expect([unsaved.paths, heard.mock.calls.length]).toEqual([[], 0]);

    [one, other, elsewhere].forEach(paper => {
      paper.type();
    });
    vi.advanceTimersByTime(300);
    expect(unsaved.paths).toEqual(['a.py', 'b.ipynb']);
    expect(heard).toHaveBeenCalledTimes(1);

    await unsaved.save();
    expect(unsaved.paths).toEqual([]);
    expect(heard).toHaveBeenCalledTimes(2);
    vi.useRealTimers();
  });

  it('that cannot be written count for nothing', () => {
    vi.useFakeTimers();
    const paper = new Paper('wine/read-only.ipynb');
    paper.contentsModel.writable = false;
    paper.model.dirty = true;
    const unsaved = opened(paper);
    unsaved.look();
    vi.advanceTimersByTime(300);
    expect(unsaved.paths).toEqual([]);
    vi.useRealTimers();
  });
});
