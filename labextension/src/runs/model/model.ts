import { Signal, type ISignal } from '@lumino/signaling';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { direction, type Direction } from '../../shared/charts/direction';
import type { ILedger, IRunsDelta } from '../../tokens';
import { automatic, Catalogue, type ColumnId, type IColumn } from './columns';
import { Search } from './search';
import { NOTHING, pruned, type ISelection } from './selection';
import { SeriesCache } from './series';
import { DEFAULTS, MINE, parsed, placed, width, type ISettings, type ISort } from './settings';
import { View, type IAnswer } from './view';

/** What of JupyterLab's state database is needed. */
export interface IKeeps {
  fetch(id: string): Promise<unknown>;
  save(id: string, value: ReadonlyPartialJSONObject): Promise<unknown>;
}

const PAUSE_BEFORE_SAVING = 400;

/** What changed: `data`: runs came, went or became others; `view`: other rows or another order; else only the look. */
export type Change = 'data' | 'view' | 'look';

/** One table of the project's runs: what it shows, in which order, and what is selected. */
export class RunsModel {
  readonly catalogue = new Catalogue();
  readonly search: Search;
  readonly series: SeriesCache;
  selection: ISelection = NOTHING;
  settings: ISettings = DEFAULTS;

  /** `place` names the table in the state database; each project's is kept by itself. */
  constructor(
    readonly ledger: ILedger,
    private readonly keeps: IKeeps,
    private readonly place: string
  ) {
    this.search = new Search(text => ledger.api.search(text));
    this.series = new SeriesCache((runs, keys) => ledger.api.series(runs, keys));
    this.search.changed.connect(() => {
      this.tell('view');
    });
    ledger.runs.changed.connect((_, delta) => {
      this.update(delta);
    });
    ledger.notebookChanged.connect(() => {
      this.onNotebook();
    });
    ledger.projectChanged.connect(() => {
      this.onProject();
    });
    ledger.state.changed.connect(() => {
      this.restore();
      this.onPerson();
    });
    this.update({ changed: null, removed: [] });
    this.restore();
  }

  get changed(): ISignal<this, Change> {
    return this.signal;
  }

  get answer(): IAnswer {
    this.answered ??= this.view.answer({
      runs: this.ledger.runs.list,
      scope: this.settings.scope,
      notebook: this.ledger.notebook,
      mine: this.mine,
      words: this.search.words,
      found: this.search.found,
      sort: this.settings.sort,
      toggled: this.toggled
    });
    return this.answered;
  }

  /** By what this person's runs are told; empty where that is not known yet. */
  get mine(): readonly string[] {
    return this.ledger.state.value?.mine ?? [];
  }

  /** Whether something else than the scope of all runs is asked for. */
  get narrowed(): boolean {
    const { thisNotebook, user } = this.settings.scope;
    return this.search.text.trim() !== '' || thisNotebook || user !== null;
  }

  /** The selected runs in the order of the table; those that are out of sight at the end. */
  get selected(): readonly string[] {
    const { ids } = this.selection;
    const { order } = this.answer;
    const visible =
      ids.size < order.length / 4
        ? sortedBy([...ids], this.answer.place)
        : order.filter(id => ids.has(id));
    return visible.length === ids.size ? visible : [...new Set([...visible, ...ids])];
  }

  columns(room: number): {
    readonly pinned: readonly IColumn[];
    readonly free: readonly IColumn[];
  } {
    const { pinned, free } = placed(this.shown(room), this.settings.pinned);
    const column = (id: ColumnId): IColumn => this.catalogue.column(id);
    return { pinned: pinned.map(column), free: free.map(column) };
  }

  shown(room: number): readonly ColumnId[] {
    this.room = room;
    return this.settings.shown ?? automatic(this.catalogue, room);
  }

  width(column: IColumn): number {
    return this.settings.widths[column.id] ?? WIDTHS[column.id] ?? KIND_WIDTHS[column.kind];
  }

  better(metric: string): Direction {
    return this.settings.directions[metric] ?? direction(metric);
  }

  select(selection: ISelection): void {
    this.selection = selection;
    this.tell('look');
  }

  sort(sort: ISort): void {
    this.change({ sort }, 'view');
  }

  /** Sort by `column`; the other way round if it is sorted by already. */
  sortBy(column: IColumn): void {
    const now = this.settings.sort;
    const descending = now.column === column.id ? !now.descending : this.greatestFirst(column);
    this.sort({ column: column.id, descending });
  }

  show(shown: readonly ColumnId[] | null): void {
    this.change({ shown: shown?.length === 0 ? null : shown }, 'look');
  }

  /** Show or hide a column; what the table had chosen by itself stays otherwise. */
  toggleColumn(id: ColumnId): void {
    const shown = this.shown(this.room);
    this.show(shown.includes(id) ? shown.filter(one => one !== id) : [...shown, id]);
  }

  togglePin(id: ColumnId): void {
    const { pinned } = this.settings;
    const next = pinned.includes(id) ? pinned.filter(one => one !== id) : [...pinned, id];
    this.change({ pinned: next }, 'look');
  }

  resize(id: ColumnId, wanted: number): void {
    this.change({ widths: { ...this.settings.widths, [id]: width(wanted) } }, 'look');
  }

  prefer(metric: string, better: 'up' | 'down'): void {
    this.change({ directions: { ...this.settings.directions, [metric]: better } }, 'look');
  }

  scope(scope: ISettings['scope']): void {
    this.change({ scope }, 'view');
  }

  toggleRow(id: string): void {
    const toggled = new Set(this.toggled);
    if (!toggled.delete(id)) {
      toggled.add(id);
    }
    this.toggled = toggled;
    this.tell('view');
  }

  private greatestFirst(column: IColumn): boolean {
    return column.kind === 'metric' ? this.better(column.key) !== 'down' : column.numeric;
  }

  private change(settings: Partial<ISettings>, change: Change): void {
    this.settings = { ...this.settings, ...settings };
    this.touched = true;
    clearTimeout(this.saving);
    const key = this.key;
    if (key !== null) {
      this.saving = setTimeout(
        () => void this.keeps.save(key, { ...this.settings } as never),
        PAUSE_BEFORE_SAVING
      );
    }
    this.tell(change);
  }

  private update(delta: IRunsDelta): void {
    const { runs } = this.ledger;
    if (delta.changed === null) {
      this.catalogue.clear();
      runs.list.forEach(run => {
        this.catalogue.add(run);
      });
    }
    delta.changed?.forEach(id => {
      const run = runs.get(id);
      if (run) {
        this.catalogue.add(run);
      }
    });
    if (delta.changed === null || delta.removed.length) {
      this.selection = pruned(this.selection, id => runs.get(id) !== undefined);
    }
    const nothing = delta.changed?.length === 0 && !delta.removed.length;
    if (nothing) {
      this.tell('look'); // loading or a problem
      return;
    }
    this.search.again();
    this.tell('data');
  }

  /** Only the state tells who looks at the table, and it may come after the runs. */
  private onPerson(): void {
    const now = this.mine.join();
    if (this.settings.scope.user === MINE && this.person !== now) {
      this.tell('view');
    }
    this.person = now;
  }

  private onNotebook(): void {
    if (this.settings.scope.thisNotebook) {
      this.tell('view');
    }
  }

  private onProject(): void {
    this.selection = NOTHING;
    this.toggled = new Set();
    this.series.clear();
    this.settings = DEFAULTS;
    this.touched = false;
    this.key = null;
    this.restore();
    this.update({ changed: null, removed: [] });
  }

  /** As soon as it is known which project this is: as its table was left. */
  private restore(): void {
    const project = this.ledger.state.value?.project;
    if (project === undefined || this.key !== null) {
      return;
    }
    const key = `nbledger:${this.place}:${project}`;
    this.key = key;
    this.keeps
      .fetch(key)
      .then(kept => {
        if (kept !== undefined && this.key === key && !this.touched) {
          this.settings = parsed(kept);
          this.tell('view');
        }
      })
      .catch(() => undefined);
  }

  private tell(change: Change): void {
    if (change !== 'look') {
      this.answered = null;
    }
    this.signal.emit(change);
  }

  private room = 6;
  private person = '';
  private key: string | null = null;
  private touched = false;
  private saving: ReturnType<typeof setTimeout> | undefined;
  private toggled: ReadonlySet<string> = new Set();
  private answered: IAnswer | null = null;
  private readonly view = new View(this.catalogue);
  private readonly signal = new Signal<this, Change>(this);
}

const KIND_WIDTHS = { fixed: 140, metric: 150, param: 110, data: 120 } as const;
const WIDTHS: Readonly<Record<ColumnId, number>> = {
  status: 96,
  name: 200,
  started: 92,
  took: 92,
  user: 120,
  notebook: 160
};

function sortedBy(ids: string[], place: ReadonlyMap<string, number>): string[] {
  return ids.filter(id => place.has(id)).sort((a, b) => (place.get(a) ?? 0) - (place.get(b) ?? 0));
}
