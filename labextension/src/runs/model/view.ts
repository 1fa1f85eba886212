import type { IRun } from '../../api/types';
import type { Catalogue } from './columns';
import { inScope, wordsIn } from './filter';
import type { IScope, ISort } from './settings';
import { Index } from './sort';
import { rowsOf, type IRow } from './tree';

/** All that decides which runs the table shows, and in which order. */
export interface IQuestion {
  readonly runs: readonly IRun[];
  readonly scope: IScope;
  /** The notebook that is on screen. */
  readonly notebook: string | null;
  /** By what the runs of whoever looks at the table are told. */
  readonly mine: readonly string[];
  readonly words: string;
  /** What the server found for a filter in MLflow's syntax; null without one. */
  readonly found: ReadonlySet<string> | null;
  readonly sort: ISort;
  readonly toggled: ReadonlySet<string>;
}

export interface IAnswer {
  readonly rows: readonly IRow[];
  /** The rows' run ids, in order. */
  readonly order: readonly string[];
  readonly place: ReadonlyMap<string, number>;
  /** Whether any run stands below another. */
  readonly tree: boolean;
  /** How many runs match, those of closed parents included. */
  readonly matching: number;
}

/** Answers the question of what the table shows; what did not change since it was last asked is not worked out again. */
export class View {
  constructor(private readonly catalogue: Catalogue) {}

  answer(question: IQuestion): IAnswer {
    const sorted = this.sorted(question);
    const rows = rowsOf(sorted, question.toggled);
    const order = rows.map(row => row.run.run_id);
    return {
      rows,
      order,
      place: new Map(order.map((id, at) => [id, at])),
      tree: rows.some(row => row.depth > 0 || row.children > 0),
      matching: sorted.length
    };
  }

  private sorted(question: IQuestion): readonly IRun[] {
    const { runs, sort } = question;
    const index = this.index(runs, sort.column);
    return index.order(chosen(question), sort.descending).flatMap(at => runs[at] ?? []);
  }

  private index(runs: readonly IRun[], column: string): Index {
    if (this.indexed !== runs) {
      this.indexed = runs;
      this.indexes.clear();
    }
    let found = this.indexes.get(column);
    if (!found) {
      found = new Index(runs, this.catalogue.column(column), Date.now());
      this.indexes.set(column, found);
    }
    return found;
  }

  private indexed: readonly IRun[] | null = null;
  private readonly indexes = new Map<string, Index>();
}

function chosen(question: IQuestion): readonly number[] {
  const { runs, scope, notebook, mine, words, found } = question;
  const within = inScope(scope, notebook, mine);
  const holds = wordsIn(words);
  const places: number[] = [];
  runs.forEach((run, at) => {
    if (within(run) && (found === null || found.has(run.run_id)) && holds(run)) {
      places.push(at);
    }
  });
  return places;
}
