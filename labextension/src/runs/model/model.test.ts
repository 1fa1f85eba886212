import { nullTranslator } from '@jupyterlab/translation';
import { Signal } from '@lumino/signaling';
import { beforeEach, expect, test, vi } from 'vitest';

import type { IRun, IRunSearch, ISeriesTable } from '../../api/types';
import type { ILedger, IRunsDelta } from '../../tokens';
import { automatic, Catalogue } from './columns';
import { inScope, isSyntax, wordsIn } from './filter';
import { aRun, manyRuns } from './fixtures';
import { RunsModel } from './model';
import { Search } from './search';
import * as selection from './selection';
import { SeriesCache } from './series';
import { MINE, moved, parsed } from './settings';
import { Index } from './sort';
import { rowsOf } from './tree';

const METRIC = { id: 'metrics.loss', kind: 'metric', key: 'loss', numeric: true } as const;
const PARAM = { id: 'params.depth', kind: 'param', key: 'depth', numeric: false } as const;
const NONE: ReadonlySet<string> = new Set();

function withLoss(id: string, loss?: number | 'nan' | 'inf' | '-inf'): IRun {
  return aRun(id, { metrics: loss === undefined ? {} : { loss } });
}

function sorted(
  runs: readonly IRun[],
  column: Parameters<Catalogue['column']>[0],
  down: boolean
): string[] {
  const catalogue = new Catalogue();
  runs.forEach(run => {
    catalogue.add(run);
  });
  const index = new Index(runs, catalogue.column(column), Date.now());
  return index.order(runs.keys(), down).map(at => runs[at]?.run_id ?? '');
}

// ── sorting ──────────────────────────────────────────────────────────────────────────────────────────────

test('numbers are sorted as numbers, NaN behind them, runs without the metric last, in both directions', () => {
  const runs = [
    withLoss('none'),
    withLoss('nan', 'nan'),
    withLoss('ten', 10),
    withLoss('two', 2),
    withLoss('inf', 'inf')
  ];
  expect(sorted(runs, METRIC.id, false)).toEqual(['two', 'ten', 'inf', 'nan', 'none']);
  expect(sorted(runs, METRIC.id, true)).toEqual(['inf', 'ten', 'two', 'nan', 'none']);
});

test('equal values stay in the order they had', () => {
  const runs = ['a', 'b', 'c'].map(id => withLoss(id, 1));
  expect(sorted(runs, METRIC.id, false)).toEqual(['a', 'b', 'c']);
  expect(sorted(runs, METRIC.id, true)).toEqual(['a', 'b', 'c']);
});

test('parameters that are numbers are sorted as such, before words', () => {
  const values = { a: '10', b: '9', c: 'Auto', d: 'all', e: '' };
  const runs = Object.entries(values).map(([id, depth]) => aRun(id, { params: { depth } }));
  expect(sorted([...runs, aRun('none')], PARAM.id, false)).toEqual([
    'b',
    'a',
    'e',
    'd',
    'c',
    'none'
  ]);
});

test('a running run took as long as it has been running', () => {
  const now = Date.now();
  const start = new Date(now - 60_000).toISOString();
  const runs = [aRun('short'), aRun('running', { status: 'RUNNING', start, end: null })];
  expect(sorted(runs, 'took', true)).toEqual(['running', 'short']);
});

// ── columns ──────────────────────────────────────────────────────────────────────────────────────────────

function catalogueOf(runs: readonly IRun[]): Catalogue {
  const catalogue = new Catalogue();
  runs.forEach(run => {
    catalogue.add(run);
  });
  return catalogue;
}

test('the table chooses what varies before what is the same, and no less than six columns', () => {
  const runs = [1, 2].map(n =>
    aRun(`r${n}`, {
      params: { depth: String(n), kind: 'gini', rate: String(n) },
      metrics: { loss: n, constant: 1 },
      inputs: [{ path: 'wine.csv', md5: `md5-${n}` }]
    })
  );
  const catalogue = catalogueOf(runs);
  const fixed = ['status', 'name', 'started', 'took'];
  const narrow = catalogueOf(
    [1, 2].map(n =>
      aRun(`r${n}`, {
        metrics: { ...Object.fromEntries([1, 2, 3, 4, 5].map(k => [`m${k}`, n + k])), constant: 1 },
        params: Object.fromEntries(['a', 'b', 'c'].map(k => [k, String(n)]))
      })
    )
  );
  expect(automatic(narrow, 2)).toEqual([
    ...fixed,
    ...[1, 2, 3, 4].map(k => `metrics.m${k}`),
    'params.a',
    'params.b'
  ]);
  expect(automatic(catalogue, 9)).toEqual([
    ...fixed,
    'metrics.loss',
    'metrics.constant',
    'params.depth',
    'params.rate',
    'data.wine.csv'
  ]);
});

test('user and notebook are shown once there is more than one of them', () => {
  const runs = [aRun('a', { user: 'ada' }), aRun('b', { notebook: 'b.ipynb' })];
  expect(automatic(catalogueOf(runs), 2)).toEqual([
    'status',
    'name',
    'started',
    'took',
    'user',
    'notebook'
  ]);
});

test('names as objects have them by nature are columns like others', () => {
  const params = JSON.parse('{"__proto__": "1", "constructor": "2"}') as Record<string, string>;
  const catalogue = catalogueOf([
    aRun('a', { params }),
    aRun('b', { params: { constructor: '3' } })
  ]);
  expect(catalogue.list('param').map(column => column.key)).toEqual(['constructor', '__proto__']);
});

test('columns move, and stay within the table', () => {
  expect(moved(['a', 'b', 'c'], 'a', 1)).toEqual(['b', 'a', 'c']);
  expect(moved(['a', 'b', 'c'], 'c', 5)).toEqual(['a', 'b', 'c']);
  expect(moved(['a', 'b', 'c'], 'b', -3)).toEqual(['b', 'a', 'c']);
});

test('settings that make no sense are as by default', () => {
  const found = parsed({
    shown: [1, 'name'],
    widths: { name: 1e9, x: 'y' },
    sort: { column: 3 },
    directions: { a: 'sideways' }
  });
  expect(found.shown).toEqual(['name']);
  expect(found.widths).toEqual({ name: 900 });
  expect(found.sort).toEqual({ column: 'started', descending: true });
  expect(found.directions).toEqual({});
  expect(parsed(null).pinned).toEqual(['status', 'name']);
});

// ── filter ───────────────────────────────────────────────────────────────────────────────────────────────

test.each([
  ['forest', false],
  ['is in like', false],
  ['metrics.loss < 1', true],
  ["tags.a LIKE 'x%'", true],
  ["params.kind = 'gini'", true],
  ["attributes.status IN ('FAILED')", true]
])('%s is MLflow syntax: %s', (text, syntax) => {
  expect(isSyntax(text)).toBe(syntax);
});

test('all words must occur, in whatever case, in name, parameters or tags', () => {
  const run = aRun('a', { name: 'Forest', params: { depth: '3' }, tags: { note: 'Wine' } });
  expect(wordsIn('forest WINE')(run)).toBe(true);
  expect(wordsIn('depth')(run)).toBe(true);
  expect(wordsIn('forest beer')(run)).toBe(false);
  expect(wordsIn('  ')(run)).toBe(true);
});

test('without a notebook on screen, only this notebook is everything', () => {
  const scope = { thisNotebook: true, user: null };
  expect(inScope(scope, 'b.ipynb', [])(aRun('a'))).toBe(false);
  expect(inScope(scope, 'wine.ipynb', [])(aRun('a'))).toBe(true);
  expect(inScope(scope, null, [])(aRun('a'))).toBe(true);
});

test('mine are the runs with one of my keys; a person is told by the address', () => {
  const mine = inScope({ thisNotebook: false, user: MINE }, null, ['ada@example.org', 'ada']);
  const [own, byLogin] = [aRun('a', { user: 'A. <Ada@example.org>' }), aRun('b', { user: 'ada' })];
  const [bens, nobodys] = [aRun('c', { user: 'Ben <ben@example.org>' }), aRun('d')];
  expect([own, byLogin, bens, nobodys].map(mine)).toEqual([true, true, false, false]);
  const of = inScope({ thisNotebook: false, user: 'ben@example.org' }, null, ['ada']);
  expect([own, byLogin, bens, nobodys].map(of)).toEqual([false, false, true, false]);
});

test('a wrong filter keeps what the last right one found; an answer that comes too late is dropped', async () => {
  vi.useFakeTimers();
  const answers: Record<string, () => Promise<IRunSearch>> = {
    'metrics.loss < 1': () => Promise.resolve({ ids: ['a'] }),
    'metrics.loss < ': () => Promise.reject(new Error('near end of input')),
    'metrics.loss < 2': () => new Promise(done => setTimeout(done, 5_000, { ids: ['late'] }))
  };
  const search = new Search(text => answers[text]?.() ?? Promise.reject(new Error(text)));
  search.type('metrics.loss < 1');
  search.type('metrics.loss < 1');
  await vi.advanceTimersByTimeAsync(400);
  expect([...(search.found ?? [])]).toEqual(['a']);
  search.type('metrics.loss < ');
  await vi.advanceTimersByTimeAsync(400);
  expect(search.problem?.error).toBe('near end of input');
  expect([...(search.found ?? [])]).toEqual(['a']);
  search.type('metrics.loss < 2');
  await vi.advanceTimersByTimeAsync(400);
  search.type('forest');
  await vi.advanceTimersByTimeAsync(6_000);
  expect(search.found).toBeNull();
  expect([search.words, search.problem, search.busy]).toEqual(['forest', null, false]);
  vi.useRealTimers();
});

// ── children, selection ──────────────────────────────────────────────────────────────────────────────────

function child(id: string, parent: string): IRun {
  return aRun(id, { tags: { 'mlflow.parentRunId': parent } });
}

function shown(runs: readonly IRun[], toggled: ReadonlySet<string> = NONE): string[] {
  return rowsOf(runs, toggled).map(row => '·'.repeat(row.depth) + row.run.run_id);
}

test('children stand below their parent; many of them only when it is opened', () => {
  const few = [child('c1', 'p'), aRun('x'), aRun('p'), child('c2', 'p')];
  expect(shown(few)).toEqual(['x', 'p', '·c1', '·c2']);
  expect(shown(few, new Set(['p']))).toEqual(['x', 'p']);
  const many = [aRun('p'), ...Array.from({ length: 6 }, (_, at) => child(`c${at}`, 'p'))];
  expect(shown(many)).toEqual(['p']);
  expect(shown(many, new Set(['p']))).toHaveLength(7);
});

test('a child without its parent stands by itself, and parents in a circle do not vanish', () => {
  expect(shown([child('c', 'gone')])).toEqual(['c']);
  expect(shown([child('a', 'b'), child('b', 'a'), child('self', 'self')]).sort()).toEqual(
    ['a', 'self', '·b'].sort()
  );
});

test('a range goes from the anchor either way, and the cursor stops at the ends', () => {
  const order = ['a', 'b', 'c', 'd'];
  const start = selection.only('c');
  const up = selection.through(start, 'a', order);
  expect([...up.ids]).toEqual(['a', 'b', 'c']);
  expect([...selection.through(up, 'd', order).ids]).toEqual(['c', 'd']);
  expect(selection.stepped(start, 10, order)).toBe('d');
  expect(selection.stepped(selection.NOTHING, 1, order)).toBe('a');
  expect(selection.stepped(start, 1, [])).toBeNull();
});

test('selection forgets only runs that are gone', () => {
  const both = selection.toggled(selection.only('a'), 'b');
  expect(selection.pruned(both, () => true)).toBe(both);
  const left = selection.pruned(both, id => id === 'a');
  expect([[...left.ids], left.cursor]).toEqual([['a'], null]);
});

// ── series ───────────────────────────────────────────────────────────────────────────────────────────────

test('series on screen are asked for together, once, and again when the numbers changed', async () => {
  vi.useFakeTimers();
  const asked: string[][] = [];
  const answer: ISeriesTable = {
    series: {
      a: {
        loss: [
          [0, 1, 0],
          [1, 0.5, 1]
        ]
      }
    }
  };
  const cache = new SeriesCache((runs, keys) => {
    asked.push([...runs, ...keys]);
    return Promise.resolve(answer);
  });
  const first = withLoss('a', 1);
  cache.show(first, 'loss');
  cache.show(withLoss('b', 1), 'loss')();
  cache.show(withLoss('c', 1), 'loss');
  await vi.advanceTimersByTimeAsync(100);
  expect(asked).toEqual([['a', 'c', 'loss']]);
  expect(cache.points('a', 'loss')).toHaveLength(2);
  cache.show(first, 'loss');
  cache.show({ ...first, status: 'FAILED' }, 'loss');
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked).toHaveLength(1);
  cache.show(withLoss('a', 2), 'loss');
  expect(cache.points('a', 'loss')).toHaveLength(2);
  await vi.advanceTimersByTimeAsync(2_000);
  expect(asked[asked.length - 1]).toEqual(['a', 'loss']);
  vi.useRealTimers();
});

// ── the model ────────────────────────────────────────────────────────────────────────────────────────────

let list: readonly IRun[] = [];
let changed: Signal<unknown, IRunsDelta>;
const kept = new Map<string, unknown>();

function aModel(): RunsModel {
  const never = new Signal<unknown, void>({});
  changed = new Signal<unknown, IRunsDelta>({});
  const ledger = {
    api: {},
    runs: {
      get list() {
        return list;
      },
      get: (id: string) => list.find(run => run.run_id === id),
      changed
    },
    state: { value: { project: 'p' }, changed: never },
    notebook: 'wine.ipynb',
    notebookChanged: never,
    projectChanged: never,
    trans: nullTranslator.load('nbledger')
  } as unknown as ILedger;
  const keeps = {
    fetch: (id: string) => Promise.resolve(kept.get(id)),
    save: (id: string, value: unknown) => Promise.resolve(kept.set(id, value))
  };
  return new RunsModel(ledger, keeps, 'table');
}

beforeEach(() => {
  kept.clear();
  list = [withLoss('a', 3), withLoss('b', 1), withLoss('c', 2)];
});

test('an update keeps selection and order; a removed run leaves the selection', () => {
  const model = aModel();
  model.sortBy(model.catalogue.column('metrics.loss'));
  expect(model.answer.order).toEqual(['b', 'c', 'a']);
  model.select(selection.toggled(selection.only('a'), 'b'));
  list = [withLoss('d', 0), ...list];
  changed.emit({ changed: ['d'], removed: [] });
  expect(model.answer.order).toEqual(['d', 'b', 'c', 'a']);
  expect(model.selected).toEqual(['b', 'a']);
  list = list.filter(run => run.run_id !== 'a');
  changed.emit({ changed: [], removed: ['a'] });
  expect(model.selected).toEqual(['b']);
});

test('a second click turns the order; a metric of which less is better starts with the least', () => {
  const model = aModel();
  const loss = model.catalogue.column('metrics.loss');
  model.sortBy(loss);
  expect(model.settings.sort).toEqual({ column: 'metrics.loss', descending: false });
  model.sortBy(loss);
  expect(model.answer.order).toEqual(['a', 'c', 'b']);
  model.prefer('loss', 'up');
  expect(model.better('loss')).toBe('up');
});

test('columns, sort and scope of a project are found again', async () => {
  vi.useFakeTimers();
  const model = aModel();
  model.toggleColumn('params.depth');
  model.sortBy(model.catalogue.column('metrics.loss'));
  model.scope({ thisNotebook: true, user: MINE });
  await vi.advanceTimersByTimeAsync(1_000);
  vi.useRealTimers();
  const again = aModel();
  await Promise.resolve();
  await Promise.resolve();
  expect(again.settings).toEqual(model.settings);
  expect(again.shown(6)).toContain('params.depth');
});

test('ten thousand runs are sorted and filtered at once', () => {
  list = manyRuns(10_000);
  const model = aModel();
  const timed = (what: string, work: () => void): void => {
    const start = performance.now();
    work();
    expect(model.answer.rows.length).toBeGreaterThan(0);
    console.info(`${what}: ${(performance.now() - start).toFixed(1)} ms`);
  };
  timed('first', () => undefined);
  timed('sort by a metric', () => {
    model.sortBy(model.catalogue.column('metrics.accuracy'));
  });
  timed('the other way', () => {
    model.sortBy(model.catalogue.column('metrics.accuracy'));
  });
  timed('sort by name', () => {
    model.sortBy(model.catalogue.column('name'));
  });
  timed('filter', () => {
    model.search.type('forest-1');
  });
  timed('filter on', () => {
    model.search.type('forest-12');
  });
  const loss = model.answer.rows.map(row => row.run.name);
  expect(loss.every(name => name.includes('forest-12'))).toBe(true);
});
