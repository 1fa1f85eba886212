import { Signal, type ISignal } from '@lumino/signaling';

import type { IRun, IRunChanges, IRunTable } from '../api/types';
import { Fetched } from '../shared/live';
import type { IRunsDelta, IRunsStore } from '../tokens';

export interface IRunsSource {
  runs(): Promise<IRunTable>;
  changes(since: number): Promise<IRunChanges>;
}

const NOTHING: IRunsDelta = { changed: [], removed: [] };
const EVERYTHING: IRunsDelta = { changed: null, removed: [] };

/**
 * All runs, the newest first. The table is fetched when somebody first looks; after that only what changed. A run that
 * stayed as it was keeps its identity, so that a row that shows it need not be drawn again.
 */
export class RunsStore extends Fetched implements IRunsStore {
  total = 0;
  loaded = false;

  /** `onWanted` is called once, when somebody first looks. */
  constructor(
    private readonly source: IRunsSource,
    private readonly onWanted: () => void
  ) {
    super();
  }

  get list(): readonly IRun[] {
    this.want();
    return this.rows;
  }

  get changed(): ISignal<this, IRunsDelta> {
    this.want();
    return this.signal;
  }

  /** Whether somebody looks at the runs; nothing is fetched before. */
  get wanted(): boolean {
    return this.looked;
  }

  get(id: string): IRun | undefined {
    this.want();
    return this.byId.get(id);
  }

  byJournal(id: string): IRun | undefined {
    this.want();
    const run = this.journals.get(id);
    return run === undefined ? undefined : this.byId.get(run);
  }

  /** Start anew, as for another project. */
  reset(): void {
    this.forget();
    this.version = null;
    this.loaded = false;
    this.total = 0;
    this.rows = [];
    this.byId.clear();
    this.journals.clear();
    this.signal.emit(EVERYTHING);
  }

  protected override async fetch(current: () => boolean): Promise<void> {
    const since = this.version;
    const answer: IRunTable & Partial<IRunChanges> =
      since === null ? await this.source.runs() : await this.source.changes(since);
    if (!current()) {
      return;
    }
    this.version = answer.version;
    this.total = answer.total;
    this.loaded = true;
    const partial = since !== null && answer.reset === false;
    this.delta = partial
      ? this.merge(answer.runs, answer.removed ?? [])
      : this.replace(answer.runs);
  }

  protected override tell(): void {
    const delta = this.delta;
    this.delta = NOTHING;
    this.signal.emit(delta);
  }

  private want(): void {
    if (!this.looked) {
      this.looked = true;
      void Promise.resolve().then(() => {
        this.onWanted();
      });
    }
  }

  private replace(runs: readonly IRun[]): IRunsDelta {
    const before = new Map(this.byId);
    this.byId.clear();
    this.journals.clear();
    this.rows = runs.map(run => {
      const kept = shared(before.get(run.run_id), run);
      this.index(kept);
      before.delete(run.run_id);
      return kept;
    });
    return { changed: null, removed: [...before.keys()] };
  }

  private merge(runs: readonly IRun[], gone: readonly string[]): IRunsDelta {
    const removed = gone.filter(id => this.byId.delete(id));
    const replaced = new Map<string, IRun>();
    const moved: IRun[] = [];
    for (const run of runs) {
      const old = this.byId.get(run.run_id);
      const kept = shared(old, run);
      if (kept === old) {
        continue;
      }
      if (old?.start === kept.start) {
        replaced.set(kept.run_id, kept);
      } else {
        moved.push(kept);
      }
    }
    if (!removed.length && !replaced.size && !moved.length) {
      return NOTHING;
    }
    const moving = new Set([...removed, ...moved.map(run => run.run_id)]);
    const stay = this.rows
      .filter(run => !moving.has(run.run_id))
      .map(run => replaced.get(run.run_id) ?? run);
    this.rows = merged(stay, moved.sort(newestFirst));
    [...replaced.values(), ...moved].forEach(run => {
      this.index(run);
    });
    return { changed: [...replaced.keys(), ...moved.map(run => run.run_id)], removed };
  }

  private index(run: IRun): void {
    this.byId.set(run.run_id, run);
    const journal = run.tags['nbledger.journal'];
    if (journal) {
      this.journals.set(journal, run.run_id);
    }
  }

  private rows: readonly IRun[] = [];
  private readonly byId = new Map<string, IRun>();
  private readonly journals = new Map<string, string>();
  private version: number | null = null;
  private looked = false;
  private delta: IRunsDelta = NOTHING;
  private readonly signal = new Signal<this, IRunsDelta>(this);
}

function newestFirst(a: IRun, b: IRun): number {
  return (b.start ?? '').localeCompare(a.start ?? '');
}

/** Two lists in order, as one in order. */
function merged(a: readonly IRun[], b: readonly IRun[]): readonly IRun[] {
  const all: IRun[] = [];
  let next = 0;
  for (const one of b) {
    for (let other = a[next]; other && newestFirst(other, one) < 0; other = a[next]) {
      all.push(other);
      next += 1;
    }
    all.push(one);
  }
  return all.concat(a.slice(next));
}

/** `fresh` with every part of `old` that is equal to it; `old` itself if all is equal. */
export function shared<T>(old: T | undefined, fresh: T): T {
  if (old === fresh || old === undefined || !isObject(old) || !isObject(fresh)) {
    return fresh;
  }
  if (Array.isArray(old) !== Array.isArray(fresh)) {
    return fresh;
  }
  const keys = Object.keys(fresh);
  let same = keys.length === Object.keys(old).length;
  const parts = keys.map(key => {
    const part = shared(old[key], fresh[key]);
    same = same && part === old[key] && key in old;
    return [key, part] as const;
  });
  if (same) {
    return old;
  }
  return (Array.isArray(fresh) ? parts.map(([, part]) => part) : Object.fromEntries(parts)) as T;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return value !== null && typeof value === 'object';
}
