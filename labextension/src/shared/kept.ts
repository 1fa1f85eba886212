import { DisposableDelegate, type IDisposable } from '@lumino/disposable';

import type { IChanged, Part } from '../api/types';
import type { ILedger } from '../tokens';
import { Live } from './live';

/** A list of the project that is fetched, and kept up to date, while somebody looks at it. */
export class Kept<T> extends Live<T> {
  constructor(
    private readonly ledger: ILedger,
    parts: readonly Part[],
    ask: () => Promise<T>
  ) {
    super(ask);
    ledger.told.connect((_: unknown, changed: IChanged) => {
      if (changed.parts.some(part => parts.includes(part))) {
        this.outdated();
      }
    });
    ledger.projectChanged.connect(() => {
      // At a start the first list may be there before it is known which project it is about.
      if (this.about !== ledger.path) {
        this.reset();
      }
      this.outdated();
    });
  }

  /** Somebody looks, until what is returned is disposed. */
  look(): IDisposable {
    this.lookers += 1;
    if (this.stale) {
      this.outdated();
    }
    return new DisposableDelegate(() => {
      this.lookers -= 1;
    });
  }

  protected override fetch(current: () => boolean): Promise<void> {
    this.about = this.ledger.path;
    return super.fetch(current);
  }

  private outdated(): void {
    this.stale = true;
    if (this.lookers > 0) {
      this.stale = false;
      void this.refresh();
    }
  }

  /** The path that was asked about last. */
  private about: string | null = null;
  private lookers = 0;
  private stale = true;
}
