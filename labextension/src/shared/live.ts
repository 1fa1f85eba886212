import { Signal, type ISignal } from '@lumino/signaling';

import type { IProblem } from '../api/types';
import type { ILive } from '../tokens';

const FIRST_DELAY = 1_000;
const LONGEST_DELAY = 60_000;

/** Tries again later, each time after twice as long. */
export class Backoff {
  constructor(private readonly again: () => void) {}

  failed(): void {
    this.cancel();
    this.timer = setTimeout(this.again, this.delay);
    this.delay = Math.min(this.delay * 2, LONGEST_DELAY);
  }

  succeeded(): void {
    this.cancel();
    this.delay = FIRST_DELAY;
  }

  cancel(): void {
    clearTimeout(this.timer);
  }

  private timer: ReturnType<typeof setTimeout> | undefined;
  private delay = FIRST_DELAY;
}

/** What a failure means to the user; anything that is no answer of the server is an error of ours. */
export function problemOf(reason: unknown): IProblem {
  if (reason !== null && typeof reason === 'object' && 'problem' in reason) {
    return reason.problem as IProblem;
  }
  return { error: reason instanceof Error ? reason.message : String(reason), hint: '', code: 3 };
}

/** Whether asking again may help: the server or something behind it was away. */
export function mayPass(reason: unknown): boolean {
  const status =
    reason !== null && typeof reason === 'object' && 'status' in reason ? reason.status : null;
  return typeof status === 'number' && (status === 0 || status >= 500);
}

/**
 * One fetch at a time: who asks while one is on its way gets the answer of one that starts afterwards, so that an answer
 * is never older than the question. After `reset` an answer that was on its way is dropped.
 */
export abstract class Fetched {
  problem: IProblem | null = null;
  loading = false;

  refresh(): Promise<void> {
    this.backoff.cancel();
    if (this.running) {
      this.next ??= this.running.then(() => {
        this.next = null;
        return this.refresh();
      });
      return this.next;
    }
    this.running = this.run().finally(() => {
      this.running = null;
    });
    return this.running;
  }

  /** Ask no more until `refresh` is called. */
  pause(): void {
    this.backoff.cancel();
  }

  /** Ask, and keep what was answered. `current()` says whether the answer is still wanted. */
  protected abstract fetch(current: () => boolean): Promise<void>;
  /** `problem` or `loading` changed. */
  protected abstract tell(): void;

  protected forget(): void {
    this.generation += 1;
    this.problem = null;
    this.loading = false;
    this.backoff.succeeded();
  }

  private async run(): Promise<void> {
    const generation = this.generation;
    const current = () => generation === this.generation;
    this.loading = true;
    this.tell();
    try {
      await this.fetch(current);
      if (current()) {
        this.problem = null;
        this.backoff.succeeded();
      }
    } catch (reason) {
      if (current()) {
        this.problem = problemOf(reason);
        if (mayPass(reason)) {
          this.backoff.failed();
        }
      }
    }
    if (current()) {
      this.loading = false;
      this.tell();
    }
  }

  private generation = 0;
  private running: Promise<void> | null = null;
  private next: Promise<void> | null = null;
  private readonly backoff = new Backoff(() => void this.refresh());
}

/** A value that the server knows. It stays while a later fetch fails. */
export class Live<T> extends Fetched implements ILive<T> {
  value: T | null = null;

  constructor(private readonly ask: () => Promise<T>) {
    super();
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  /** Start anew, as for another project. */
  reset(value: T | null = null): void {
    this.forget();
    this.value = value;
    this.tell();
  }

  protected override async fetch(current: () => boolean): Promise<void> {
    const value = await this.ask();
    if (current()) {
      this.value = value;
    }
  }

  protected override tell(): void {
    this.signal.emit();
  }

  private readonly signal = new Signal<this, void>(this);
}
