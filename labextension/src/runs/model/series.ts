import { Signal, type ISignal } from '@lumino/signaling';

import type { IRun, ISeriesPoint, ISeriesTable } from '../../api/types';

export type AskSeries = (runs: readonly string[], keys: readonly string[]) => Promise<ISeriesTable>;

const PAUSE = 60;
const MOST = 60;
/** A running run's curves are asked for again at most this often. */
const LIVE_PAUSE = 500;

const NONE: readonly ISeriesPoint[] = [];

interface IKept {
  /** The run as it was when its series were asked for. */
  readonly run: IRun;
  readonly at: number;
  readonly series: Map<string, readonly ISeriesPoint[]>;
}

/**
 * The courses of metrics that are on screen: asked for many at a time once scrolling rests, and again when the run's
 * numbers changed. Until then the curve of before stays.
 */
export class SeriesCache {
  constructor(private readonly ask: AskSeries) {}

  /** Emitted with the ids of runs whose series came in. */
  get arrived(): ISignal<this, readonly string[]> {
    return this.signal;
  }

  points(run: string, key: string): readonly ISeriesPoint[] {
    return this.kept.get(run)?.series.get(key) ?? NONE;
  }

  /** A cell shows this metric, until the answer is called. */
  show(run: IRun, key: string): () => void {
    const wish = { run, key };
    this.wishes.add(wish);
    if (this.lacks(run, key)) {
      this.schedule(PAUSE);
    }
    return () => {
      this.wishes.delete(wish);
    };
  }

  clear(): void {
    this.kept.clear();
    this.generation += 1;
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.wishes.clear();
    Signal.clearData(this);
  }

  private lacks(run: IRun, key: string): boolean {
    const kept = this.kept.get(run.run_id);
    return (
      !kept?.series.has(key) || (kept.run.metrics !== run.metrics && !this.unchanged(kept, run))
    );
  }

  private unchanged(kept: IKept, run: IRun): boolean {
    return Object.keys(run.metrics).every(key => kept.run.metrics[key] === run.metrics[key]);
  }

  private schedule(pause: number): void {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      void this.fetch();
    }, pause);
  }

  private async fetch(): Promise<void> {
    if (this.busy) {
      return;
    }
    const { runs, keys, later } = this.wanted();
    if (!runs.size) {
      if (later) {
        this.schedule(LIVE_PAUSE);
      }
      return;
    }
    this.busy = true;
    const generation = this.generation;
    const ids = [...runs.keys()];
    const at = Date.now();
    try {
      const { series } = await this.ask(ids, [...keys]);
      if (generation === this.generation) {
        this.keep(runs, keys, series, at);
        this.signal.emit(ids);
      }
    } catch {
      // Curves are an addition: the table says by itself that the server is away. Asked again with the next change.
    } finally {
      this.busy = false;
    }
    if (this.wanted().runs.size && generation === this.generation && this.kept.has(ids[0] ?? '')) {
      this.schedule(PAUSE);
    } else if (this.wanted().later) {
      this.schedule(LIVE_PAUSE);
    }
  }

  private wanted(): { runs: Map<string, IRun>; keys: Set<string>; later: boolean } {
    const runs = new Map<string, IRun>();
    const keys = new Set<string>();
    let later = false;
    for (const { run, key } of this.wishes) {
      if (!this.lacks(run, key)) {
        continue;
      }
      const kept = this.kept.get(run.run_id);
      if (kept?.series.has(key) && Date.now() - kept.at < LIVE_PAUSE) {
        later = true;
      } else if (runs.size < MOST || runs.has(run.run_id)) {
        runs.set(run.run_id, run);
        keys.add(key);
      }
    }
    return { runs, keys, later };
  }

  private keep(
    runs: ReadonlyMap<string, IRun>,
    keys: ReadonlySet<string>,
    series: ISeriesTable['series'],
    at: number
  ): void {
    for (const [id, run] of runs) {
      const before = this.kept.get(id);
      const all = new Map(before && this.unchanged(before, run) ? before.series : []);
      keys.forEach(key => all.set(key, series[id]?.[key] ?? NONE));
      this.kept.set(id, { run, at, series: all });
    }
  }

  private busy = false;
  private generation = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly kept = new Map<string, IKept>();
  private readonly wishes = new Set<{ readonly run: IRun; readonly key: string }>();
  private readonly signal = new Signal<this, readonly string[]>(this);
}
