import { ReactWidget } from '@jupyterlab/ui-components';
import { DisposableDelegate, type IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import type { ReactElement } from 'react';

import type { IChanged, Part } from '../api/types';
import type { ILedger } from '../tokens';
import { Live } from './live';

/** A list of the project that is fetched, and kept up to date, while somebody looks at it. */
export class Kept<T> extends Live<T> {
  constructor(ledger: ILedger, parts: readonly Part[], ask: () => Promise<T>) {
    super(ask);
    ledger.told.connect((_: unknown, changed: IChanged) => {
      if (changed.parts.some(part => parts.includes(part))) {
        this.outdated();
      }
    });
    ledger.projectChanged.connect(() => {
      this.reset();
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

  private outdated(): void {
    this.stale = true;
    if (this.lookers > 0) {
      this.stale = false;
      void this.refresh();
    }
  }

  private lookers = 0;
  private stale = true;
}

/** A widget that looks at `kept` while it is on screen. */
export class KeptWidget extends ReactWidget {
  constructor(
    private readonly kept: Kept<unknown>,
    private readonly element: ReactElement
  ) {
    super();
  }

  override render(): ReactElement {
    return this.element;
  }

  override dispose(): void {
    this.look(false);
    super.dispose();
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this.look(this.isVisible);
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this.look(true);
  }

  protected override onAfterHide(msg: Message): void {
    super.onAfterHide(msg);
    this.look(false);
  }

  protected override onBeforeDetach(msg: Message): void {
    this.look(false);
    super.onBeforeDetach(msg);
  }

  private look(looking: boolean): void {
    if (looking) {
      this.looking ??= this.kept.look();
    } else {
      this.looking?.dispose();
      this.looking = null;
    }
  }

  private looking: IDisposable | null = null;
}
