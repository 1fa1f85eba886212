import { Signal, type ISignal } from '@lumino/signaling';

import type { Api } from '../api/api';
import type {
  ICompared,
  IComparison,
  INotebookDiff,
  ISeriesPoint,
  ISeriesTable
} from '../api/types';
import { direction, type Direction } from '../shared/charts';
import { Live } from '../shared/live';
import type { ILedger } from '../tokens';
import type { RunsModel } from '../runs/model/model';

/** The present state of the project, as one side of a comparison. */
export const PRESENT = '.';
const POINTS = 200;

/** What was asked, and what was answered to it. */
export interface IFound {
  readonly names: readonly string[];
  readonly everything: boolean;
  readonly comparison: IComparison;
}

/** One comparison: of which runs, everything or what differs, and what was found. */
export class CompareModel {
  readonly found: Live<IFound>;
  readonly series: Live<ISeriesTable['series']>;
  readonly notebook: Live<INotebookDiff>;

  constructor(
    readonly ledger: ILedger,
    /** The routes about the project that the runs are of, whatever is on screen later. */
    readonly api: Api,
    readonly path: string,
    names: readonly string[],
    private readonly table: RunsModel
  ) {
    this.names = [...new Set(names)];
    this.found = new Live(() => this.compare());
    this.series = new Live(() => this.curves());
    this.notebook = new Live(() => {
      const [a = PRESENT, b = PRESENT] = this.names;
      return api.compareNotebooks(a, b);
    });
    this.found.changed.connect(() => {
      this.whenFound();
    });
    ledger.told.connect(this.hear);
    void this.found.refresh();
  }

  names: readonly string[];
  everything = false;

  /** Other runs are compared, or the title is known now. */
  get changed(): ISignal<this, void> {
    return this.signal;
  }

  /** `forest × boosted`. */
  get title(): string {
    const sides = this.found.value?.comparison.runs;
    return sides
      ? titles(sides).join(' × ')
      : this.names.map(name => this.ledger.runs.get(name)?.name ?? name.slice(0, 8)).join(' × ');
  }

  dispose(): void {
    this.ledger.told.disconnect(this.hear);
    [this.found, this.series, this.notebook].forEach(live => {
      live.pause();
      Signal.clearData(live);
    });
    Signal.clearData(this);
  }

  swap(): void {
    this.change([...this.names].reverse());
  }

  add(name: string): void {
    this.change([...new Set([...this.names, name])]);
  }

  remove(name: string): void {
    this.change(this.names.filter(one => one !== name));
  }

  show(everything: boolean): void {
    this.everything = everything;
    void this.found.refresh();
    this.signal.emit();
  }

  refresh(): void {
    this.notebook.reset();
    void this.found.refresh();
  }

  better(metric: string): Direction {
    return this.table.settings.directions[metric] ?? direction(metric);
  }

  prefer(metric: string, better: 'up' | 'down'): void {
    this.table.prefer(metric, better);
    this.signal.emit();
  }

  points(run: string, metric: string): readonly ISeriesPoint[] {
    return this.series.value?.[run]?.[metric] ?? [];
  }

  private change(names: readonly string[]): void {
    this.names = names;
    this.notebook.reset();
    void this.found.refresh();
    this.signal.emit();
  }

  private async compare(): Promise<IFound> {
    const { names, everything } = this;
    return { names, everything, comparison: await this.api.compare(names, everything) };
  }

  private async curves(): Promise<ISeriesTable['series']> {
    const { comparison } = this.found.value ?? {};
    const keys = Object.keys(comparison?.series ?? {});
    const runs = (comparison?.runs ?? []).map(side => side.run_id).filter(Boolean);
    return keys.length && runs.length ? (await this.api.series(runs, keys, POINTS)).series : {};
  }

  private whenFound(): void {
    const { value } = this.found;
    if (value && value !== this.drawn) {
      this.drawn = value;
      void this.series.refresh();
    }
    this.signal.emit();
  }

  /** A run that goes on has other numbers now. */
  private readonly hear = (_: unknown, told: { readonly parts: readonly string[] }): void => {
    const goesOn =
      this.found.value?.comparison.runs.some(side => side.status === 'RUNNING') ?? false;
    if (goesOn && told.parts.includes('runs') && !this.found.loading) {
      void this.found.refresh();
    }
  };

  private drawn: IFound | null = null;
  private readonly signal = new Signal<this, void>(this);
}

/** What the sides are called; those of the same name also by the beginning of their ids. */
export function titles(sides: readonly ICompared[]): readonly string[] {
  const count = new Map<string, number>();
  sides.forEach(side => count.set(side.title, (count.get(side.title) ?? 0) + 1));
  return sides.map(side =>
    (count.get(side.title) ?? 0) > 1 && side.run_id && !side.title.includes(side.run_id.slice(0, 6))
      ? `${side.title} (${side.run_id.slice(0, 6)})`
      : side.title
  );
}
