import type { IRun } from '../../api/types';

/** A run for tests; `given` says what matters. */
export function aRun(id: string, given: Partial<IRun> = {}): IRun {
  return {
    run_id: id,
    name: id,
    status: 'FINISHED',
    experiment: 'wine',
    experiment_id: '1',
    start: '2026-11-25T10:00:00.000Z',
    end: '2026-11-25T10:00:12.000Z',
    notebook: 'wine.ipynb',
    commit: null,
    snapshot: null,
    dirty: false,
    params: {},
    metrics: {},
    inputs: [],
    tags: {},
    user: null,
    host: null,
    branch: null,
    origin: 'nbledger',
    ...given
  };
}

/** `count` runs as ten thousand of them look: six parameters, six metrics, some missing, some NaN. */
export function manyRuns(count: number): readonly IRun[] {
  let seed = 1;
  const random = (): number => {
    seed = (seed * 16807) % 2147483647;
    return seed / 2147483647;
  };
  return Array.from({ length: count }, (_, at) =>
    aRun(`run${at}`, {
      name: `forest-${Math.floor(random() * 1e6)}`,
      start: new Date(1.79e12 - at * 60_000).toISOString(),
      end: new Date(1.79e12 - at * 60_000 + random() * 50_000).toISOString(),
      params: Object.fromEntries(
        ['depth', 'trees', 'rate', 'kind', 'seed', 'fold'].map(key => [key, String(random())])
      ),
      metrics: Object.fromEntries(
        ['accuracy', 'loss', 'f1', 'auc', 'rmse', 'time'].flatMap(key => {
          const value = random();
          return value < 0.05 ? [] : [[key, value < 0.1 ? 'nan' : value]];
        })
      )
    })
  );
}
