/** Models and what goes on with them, for the tests. */

import type { IDecided, IModel, IModels, IModelVersion, IServing, IWaiting } from '../api/types';

export function aModel(changes: Partial<IModel> = {}): IModel {
  return { name: 'wine', description: '', aliases: {}, versions: [], ...changes };
}

export function aVersion(changes: Partial<IModelVersion> = {}): IModelVersion {
  return {
    name: 'wine',
    version: '1',
    aliases: [],
    run_id: 'r1',
    run_name: 'forest',
    created: '2026-11-25T16:00:00Z',
    status: 'READY',
    gate: {},
    tags: {},
    metrics: {},
    commit: null,
    notebook: null,
    inputs: [],
    ...changes
  };
}

export function someModels(changes: Partial<IModels> = {}): IModels {
  return { models: [], notes: [], gates: [], demands: [], ...changes };
}

export function aWaiting(changes: Partial<IWaiting> = {}): IWaiting {
  return {
    model: 'wine',
    version: '2',
    alias: 'champion',
    holder: '1',
    run_id: 'r2',
    run_name: 'forest',
    by: 'Ada <ada@x.org>',
    at: '2026-11-25T16:00:00Z',
    expires: '2026-12-02T16:00:00Z',
    needed: 1,
    approved: [],
    condition: 'accuracy > champion.accuracy',
    figures: { accuracy: 0.9, 'champion.accuracy': 0.8 },
    mine: true,
    why_not: '',
    ...changes
  };
}

export function aServing(changes: Partial<IServing> = {}): IServing {
  return {
    model: 'wine',
    version: '2',
    url: 'http://127.0.0.1:5001',
    port: 5001,
    state: 'ok',
    healthy: true,
    since: '2026-11-25T16:00:00Z',
    digest: 'a'.repeat(64),
    requests: 7,
    failures: 0,
    coming: null,
    text: '',
    ...changes
  };
}

export function aDecision(changes: Partial<IDecided> = {}): IDecided {
  return {
    n: 1,
    at: '2026-11-25T16:00:00Z',
    kind: 'promote',
    alias: 'champion',
    version: '2',
    previous: '1',
    run_id: 'r2r2r2r2r2',
    by: 'Ada',
    condition: 'accuracy > 0.8',
    figures: { accuracy: 0.9 },
    reasons: [],
    text: '',
    points: true,
    ...changes
  };
}
