import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { IDocumentManager } from '@jupyterlab/docmanager';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import { Signal, type ISignal } from '@lumino/signaling';

import type { IUnsaved } from '../tokens';

type Context = DocumentRegistry.Context;

/** Typing is not followed stroke by stroke. */
const PATIENCE = 200;

/**
 * Which open documents hold changes that the disk does not. What is on screen is then not what a commit or a snapshot
 * would hold, whatever the files say.
 */
export class Unsaved implements IUnsaved {
  /** `place`: a path of Jupyter's contents as one of the project; null outside of it. */
  constructor(
    private readonly shell: JupyterFrontEnd.IShell,
    private readonly documents: IDocumentManager,
    private readonly place: (path: string) => string | null
  ) {
    shell.currentChanged?.connect(this.look);
  }

  get paths(): readonly string[] {
    return this.known;
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  /** Save them all; what cannot be saved is told by JupyterLab itself. */
  async save(): Promise<void> {
    await Promise.allSettled(this.dirty().map(context => context.save()));
    this.update();
  }

  /** Look at the open documents when they stand still. */
  readonly look = (): void => {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.update();
    }, PATIENCE);
  };

  private update(): void {
    const found = this.dirty().flatMap(context => this.place(context.localPath) ?? []);
    const paths = [...new Set(found)].sort();
    if (paths.join('\n') !== this.known.join('\n')) {
      this.known = paths;
      this.signal.emit();
    }
  }

  private dirty(): Context[] {
    const contexts = new Set<Context>();
    for (const widget of this.shell.widgets('main')) {
      const context = this.documents.contextForWidget(widget);
      if (context) {
        contexts.add(context);
        this.follow(context);
      }
    }
    return [...contexts].filter(
      context =>
        !context.isDisposed && context.model.dirty && context.contentsModel?.writable !== false
    );
  }

  private follow(context: Context): void {
    if (!this.followed.has(context)) {
      this.followed.add(context);
      context.model.stateChanged.connect(this.look);
      context.saveState.connect(this.look);
      context.disposed.connect(this.look);
    }
  }

  private known: readonly string[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly followed = new WeakSet<Context>();
  private readonly signal = new Signal<this, void>(this);
}

/** Where documents are not known: nothing is unsaved. */
export class NothingUnsaved implements IUnsaved {
  readonly paths: readonly string[] = [];
  readonly changed: ISignal<this, void> = new Signal<this, void>(this);
  save(): Promise<void> {
    return Promise.resolve();
  }
}
