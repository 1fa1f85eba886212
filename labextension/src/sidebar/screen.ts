import type { JupyterFrontEnd } from '@jupyterlab/application';
import { PageConfig, PathExt } from '@jupyterlab/coreutils';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { FileBrowser } from '@jupyterlab/filebrowser';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { Contents } from '@jupyterlab/services';
import type { Widget } from '@lumino/widgets';

/** Walking through folders asks nothing until one stands still. */
const PATIENCE = 250;

export interface IScreenOptions {
  readonly shell: JupyterFrontEnd.IShell;
  readonly contents: Contents.IManager;
  readonly documents: IDocumentManager | null;
  readonly notebooks: INotebookTracker | null;
  readonly files: FileBrowser | null;
  folder(path: string): void;
  notebook(path: string | null): void;
}

/**
 * What is on screen: the document that was in front last and is still open, else the file browser's folder. Launchers,
 * terminals and our own tabs in front of it change nothing.
 */
export class Screen {
  constructor(private readonly options: IScreenOptions) {
    options.shell.currentChanged?.connect(this.look);
    options.notebooks?.currentChanged.connect(this.look);
    options.files?.model.pathChanged.connect(this.look);
  }

  /** Begin with what the address names: its document opens a little later. */
  start(): void {
    const named = PageConfig.getOption('treePath');
    if (!this.options.shell.currentWidget && named) {
      this.options.folder(PathExt.extname(named) ? PathExt.dirname(named) : named);
      this.timer = setTimeout(this.look, 8 * PATIENCE);
    } else {
      this.look();
    }
  }

  /** Something may have come to the front; look when it stands still. */
  readonly look = (): void => {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.update();
    }, PATIENCE);
  };

  private update(): void {
    const { shell, notebooks, files } = this.options;
    if (shell.currentWidget && this.pathOf(shell.currentWidget) !== null) {
      this.follow(shell.currentWidget);
    }
    const notebook = notebooks?.currentWidget ?? null;
    if (notebook && !this.document) {
      this.follow(notebook);
    }
    this.options.notebook(notebook ? this.local(notebook.context.path) : null);
    const path = this.document ? this.pathOf(this.document) : null;
    const folder = path === null ? null : PathExt.dirname(path);
    this.options.folder(folder ?? this.local(files?.model.path ?? '') ?? '');
  }

  private follow(document: Widget): void {
    if (document === this.document) {
      return;
    }
    this.document = document;
    document.disposed.connect(() => {
      if (this.document === document) {
        this.document = null;
        this.look();
      }
    });
    this.options.documents?.contextForWidget(document)?.pathChanged.connect(this.look);
  }

  private pathOf(widget: Widget): string | null {
    const context = this.options.documents?.contextForWidget(widget);
    return context ? this.local(context.path) : null;
  }

  /** A path of the server itself; other drives (a bucket, say) have no project. */
  private local(path: string): string | null {
    const drive = this.options.contents.driveName(path);
    return drive === '' || drive === 'RTC' ? this.options.contents.localPath(path) : null;
  }

  private document: Widget | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
}
