import { describe, expect, it, vi } from 'vitest';

import type { IRun, IRunChanges, IRunTable } from '../api/types';
import type { IRunsDelta } from '../tokens';
import { RunsStore, shared } from './runsStore';

function run(id: number, over: Partial<IRun> = {}): IRun {
  return {
    run_id: `r${id}`,
    name: `run ${id}`,
    status: 'FINISHED',
    experiment: 'e',
    experiment_id: '1',
    start: new Date(Date.UTC(2026, 0, 1, 0, 0, id)).toISOString(),
    end: null,
    notebook: 'a.ipynb',
    commit: null,
    snapshot: null,
    dirty: null,
    params: { depth: String(id) },
    metrics: { loss: id / 7 },
    inputs: [{ path: 'data.csv', md5: 'm' }],
    tags: { 'nbledger.journal': `j${id}` },
    user: null,
    host: null,
    branch: null,
    origin: 'nbledger',
    ...over
  };
}

const TRACKING = { uri: '', experiment: 'e', reachable: true, pending: 0 };

function table(version: number, runs: readonly IRun[]): IRunTable {
  return { version, total: runs.length, runs, experiment: 'e', tracking: TRACKING };
}

function changes(
  version: number,
  runs: readonly IRun[],
  over: Partial<IRunChanges> = {}
): IRunChanges {
  return { ...table(version, runs), reset: false, removed: [], ...over };
}

function setup(first: IRunTable, ...later: IRunChanges[]) {
  const source = {
    runs: vi.fn(() => Promise.resolve(structuredClone(first))),
    changes: vi.fn((since: number) =>
      Promise.resolve(structuredClone(later.shift() ?? changes(since, [])))
    )
  };
  const store = new RunsStore(source, () => undefined);
  const deltas: IRunsDelta[] = [];
  store.changed.connect((_, delta) => {
    deltas.push(delta);
  });
  return { store, source, deltas };
}

const ids = (store: RunsStore) => store.list.map(one => one.run_id);

describe('the store of runs', () => {
  it('asks for the table once and then for what changed since', async () => {
    const { store, source } = setup(table(5, [run(2), run(1)]), changes(7, []));
    await store.refresh();
    await store.refresh();
    await store.refresh();
    expect(source.runs).toHaveBeenCalledTimes(1);
    expect(source.changes.mock.calls).toEqual([[5], [7]]);
  });

  it('tells its maker when somebody first looks, not before and not again', async () => {
    const wanted = vi.fn();
    const store = new RunsStore(
      { runs: () => Promise.resolve(table(1, [])), changes: () => Promise.resolve(changes(1, [])) },
      wanted
    );
    await Promise.resolve();
    expect(wanted).not.toHaveBeenCalled();
    expect([store.list, store.get('r1'), store.byJournal('j1')]).toEqual([
      [],
      undefined,
      undefined
    ]);
    await Promise.resolve();
    expect(wanted).toHaveBeenCalledTimes(1);
  });

  it('puts new runs at their place by start, and keeps every other row the same object', async () => {
    const { store, deltas } = setup(
      table(1, [run(5), run(3), run(1)]),
      changes(2, [run(4), run(6), run(3, { status: 'FAILED' })])
    );
    await store.refresh();
    const [five, , one] = store.list;
    deltas.length = 0;
    await store.refresh();
    expect(ids(store)).toEqual(['r6', 'r5', 'r4', 'r3', 'r1']);
    expect(store.list[1]).toBe(five);
    expect(store.list[4]).toBe(one);
    expect(store.get('r3')?.status).toBe('FAILED');
    expect(deltas.map(delta => [...(delta.changed ?? ['all'])].sort())).toEqual([
      [],
      ['r3', 'r4', 'r6']
    ]);
  });

  it('keeps the list itself when what came is what it has', async () => {
    const { store } = setup(table(1, [run(2), run(1)]), changes(2, [run(2)]));
    await store.refresh();
    const before = store.list;
    await store.refresh();
    expect(store.list).toBe(before);
  });

  it('shares the parts of a changed run that stayed', async () => {
    const { store } = setup(table(1, [run(1)]), changes(2, [run(1, { metrics: { loss: 9 } })]));
    await store.refresh();
    const before = store.get('r1');
    await store.refresh();
    const after = store.get('r1');
    expect(after).not.toBe(before);
    expect(after?.params).toBe(before?.params);
    expect(after?.metrics).toEqual({ loss: 9 });
  });

  it('drops removed runs and finds a run by its journal', async () => {
    const { store, deltas } = setup(
      table(1, [run(2), run(1)]),
      changes(2, [], { removed: ['r2', 'x'] })
    );
    await store.refresh();
    expect(store.byJournal('j2')?.run_id).toBe('r2');
    await store.refresh();
    expect(ids(store)).toEqual(['r1']);
    expect(store.byJournal('j2')).toBeUndefined();
    expect(deltas[deltas.length - 1]).toEqual({ changed: [], removed: ['r2'] });
  });

  it('takes a reset as the whole table, and still keeps what did not change', async () => {
    const { store, deltas } = setup(
      table(9, [run(3), run(2), run(1)]),
      changes(1, [run(3), run(1, { name: 'renamed' })], { reset: true })
    );
    await store.refresh();
    const three = store.get('r3');
    await store.refresh();
    expect(ids(store)).toEqual(['r3', 'r1']);
    expect(store.get('r3')).toBe(three);
    expect(deltas[deltas.length - 1]).toEqual({ changed: null, removed: ['r2'] });
  });

  it('starts anew with the whole table', async () => {
    const { store, source } = setup(table(1, [run(1)]));
    await store.refresh();
    store.reset();
    expect([store.list, store.loaded, store.total]).toEqual([[], false, 0]);
    await store.refresh();
    expect(source.runs).toHaveBeenCalledTimes(2);
    expect(ids(store)).toEqual(['r1']);
  });

  it('takes one change among ten thousand without touching the others', async () => {
    const many = Array.from({ length: 10_000 }, (_, at) => run(10_000 - at));
    const { store } = setup(table(1, many), changes(2, [run(7_000, { status: 'KILLED' })]));
    await store.refresh();
    const before = store.list;
    await store.refresh();
    const moved = store.list.filter((one, at) => one !== before[at]);
    expect(moved.map(one => one.run_id)).toEqual(['r7000']);
  });
});

describe('sharing', () => {
  it.each([
    [{ a: 1 }, { a: 1, b: undefined }, false],
    [{ a: [1, 2] }, { a: [1, 2] }, true],
    [{ a: [1, 2] }, { a: [1, 2, 3] }, false],
    [{ a: [] }, { a: {} }, false],
    [{ a: null }, { a: null }, true],
    [{ a: {} }, { a: null }, false]
  ])('%j and %j: %s', (old: unknown, fresh: unknown, same) => {
    expect(shared(old, fresh) === old).toBe(same);
    expect(shared(old, fresh)).toEqual(fresh);
  });
});
