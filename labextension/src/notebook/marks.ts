import { CodeCell } from '@jupyterlab/cells';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import { CellMark, type IMarkOptions } from './cellMark';

/** The marks of all notebooks that are open. */
export class Marks {
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly options: IMarkOptions
  ) {
    tracker.widgetAdded.connect((_, panel) => {
      this.add(panel);
    });
  }

  get enabled(): boolean {
    return this.on;
  }

  set enabled(on: boolean) {
    if (on !== this.on) {
      this.on = on;
      this.tracker.forEach(panel => {
        if (on) {
          this.add(panel);
        } else {
          this.open.get(panel)?.dispose();
          this.open.delete(panel);
        }
      });
    }
  }

  private add(panel: NotebookPanel): void {
    if (this.on && !this.open.has(panel)) {
      this.open.set(panel, new NotebookMarks(panel, this.options));
    }
  }

  private readonly open = new WeakMap<NotebookPanel, NotebookMarks>();
  private on = false;
}

/** The marks of one notebook: one a code cell, made and dropped as cells come and go. */
class NotebookMarks {
  constructor(
    private readonly panel: NotebookPanel,
    private readonly options: IMarkOptions
  ) {
    const { content } = panel;
    content.modelContentChanged.connect(this.look);
    content.modelChanged.connect(this.look);
    panel.disposed.connect(this.dropped);
    void panel.context.ready.then(() => {
      this.look();
    });
  }

  dispose(): void {
    this.gone = true;
    const { content } = this.panel;
    content.modelContentChanged.disconnect(this.look);
    content.modelChanged.disconnect(this.look);
    this.panel.disposed.disconnect(this.dropped);
    this.marks.forEach(mark => {
      mark.dispose();
    });
    this.marks.clear();
  }

  /** Once for any number of changes: a paste of a hundred cells is one look. */
  private readonly look = (): void => {
    if (!this.waiting && !this.gone) {
      this.waiting = true;
      queueMicrotask(() => {
        this.waiting = false;
        this.reconcile();
      });
    }
  };

  private readonly dropped = (): void => {
    this.dispose();
  };

  private reconcile(): void {
    if (this.gone || this.panel.isDisposed) {
      return;
    }
    const { widgets } = this.panel.content;
    if (
      widgets.length === this.seen &&
      widgets.every(cell => !isCode(cell) || this.marks.has(cell))
    ) {
      return;
    }
    this.seen = widgets.length;
    for (const [cell, mark] of this.marks) {
      if (cell.isDisposed) {
        mark.dispose();
        this.marks.delete(cell);
      }
    }
    for (const cell of widgets) {
      if (isCode(cell) && !this.marks.has(cell)) {
        this.marks.set(cell, new CellMark(cell, this.options));
      }
    }
  }

  private readonly marks = new Map<CodeCell, CellMark>();
  private seen = -1;
  private waiting = false;
  private gone = false;
}

function isCode(cell: unknown): cell is CodeCell {
  return cell instanceof CodeCell;
}
