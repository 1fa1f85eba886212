import { Signal, type ISignal } from '@lumino/signaling';

import type { IProblem, IRunSearch } from '../../api/types';
import { problemOf } from '../../shared/live';
import { isSyntax } from './filter';

const PAUSE = 300;

/**
 * The filter as it is typed: words are looked for at once and here, MLflow's syntax by the server when the typing pauses.
 * While a filter is wrong, what the last right one found stays.
 */
export class Search {
  text = '';
  problem: IProblem | null = null;
  busy = false;
  /** Words to look for; empty while the filter is in MLflow's syntax. */
  words = '';
  /** What the server found; null while there is nothing in MLflow's syntax. */
  found: ReadonlySet<string> | null = null;

  constructor(private readonly ask: (text: string) => Promise<IRunSearch>) {}

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  type(text: string): void {
    this.text = text;
    clearTimeout(this.timer);
    this.asked += 1;
    if (isSyntax(text)) {
      this.busy = true;
      this.timer = setTimeout(() => void this.send(), PAUSE);
    } else {
      this.words = text;
      this.found = null;
      this.problem = null;
      this.busy = false;
    }
    this.signal.emit();
  }

  /** The runs changed: other ones may match now. */
  again(): void {
    if (isSyntax(this.text) && !this.busy && !this.problem) {
      void this.send();
    }
  }

  private async send(): Promise<void> {
    this.asked += 1;
    const asked = this.asked;
    try {
      const { ids } = await this.ask(this.text);
      if (asked !== this.asked) {
        return;
      }
      this.found = new Set(ids);
      this.words = '';
      this.problem = null;
    } catch (reason) {
      if (asked !== this.asked) {
        return;
      }
      this.problem = problemOf(reason);
    }
    this.busy = false;
    this.signal.emit();
  }

  private asked = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly signal = new Signal<this, void>(this);
}
