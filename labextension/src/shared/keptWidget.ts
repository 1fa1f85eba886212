import { ReactWidget } from '@jupyterlab/ui-components';
import type { IDisposable } from '@lumino/disposable';
import type { Message } from '@lumino/messaging';
import type { ReactElement } from 'react';

import type { Kept } from './kept';

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
