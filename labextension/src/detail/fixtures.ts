/** Runs for the tests. */

import type { IDetail, IRun } from '../api/types';

export function aRun(changes: Partial<IRun> = {}): IRun {
  return {
    run_id: 'r1',
    name: 'forest',
    status: 'FINISHED',
    experiment: 'wine',
    experiment_id: '1',
    start: '2026-11-25T16:00:00Z',
    end: '2026-11-25T16:00:02.5Z',
    notebook: 'wine.ipynb',
    commit: 'd84e88cb0d0d3c1a6f8e2b1c0a9f8e7d6c5b4a39',
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
    ...changes
  };
}

export function aDetail(changes: Partial<IDetail> = {}): IDetail {
  return {
    run: aRun(),
    deleted: false,
    params: {},
    series: {},
    tags: {},
    note: '',
    inputs: [],
    outputs: [],
    cells: [],
    modules: [],
    environment: null,
    seeds: {},
    order: 'clean',
    hidden: [],
    notices: [],
    left_out: [],
    lacking: [],
    artifacts: [],
    models: [],
    logged_models: [],
    children: [],
    reproductions: [],
    ...changes
  };
}
