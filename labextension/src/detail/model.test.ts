import { Signal } from '@lumino/signaling';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Api } from '../api/api';
import type { IChanged, IRun } from '../api/types';
import type { ILedger, IRunsDelta } from '../tokens';
import { aDetail, aRun } from './fixtures';
import { DetailModel } from './model';

function made(runs: readonly IRun[] = [aRun()]) {
  const runsChanged = new Signal<unknown, IRunsDelta>({});
  const told = new Signal<unknown, IChanged>({});
  const projectChanged = new Signal<unknown, void>({});
  const ledger = {
    runs: {
      get: (id: string) => runs.find(run => run.run_id === id),
      byJournal: (id: string) => runs.find(run => run.tags['nbledger.journal'] === id),
      changed: runsChanged
    },
    told,
    projectChanged
  } as unknown as ILedger;
  let status: IRun['status'] = 'RUNNING';
  const detail = vi.fn((run: string) =>
    Promise.resolve(aDetail({ run: aRun({ run_id: run, status }) }))
  );
  const notebook = vi.fn(() => Promise.resolve({ kind: 'session', name: 'a.ipynb', notebook: {} }));
  const model = (run = 'r1') =>
    new DetailModel(ledger, { detail, notebook } as unknown as Api, 'a.ipynb', run);
  return {
    runsChanged,
    told,
    projectChanged,
    detail,
    notebook,
    model,
    end: () => {
      status = 'FINISHED';
    }
  };
}

const delta = (...changed: string[]): IRunsDelta => ({ changed, removed: [] });
const change = (...parts: IChanged['parts']): IChanged => ({ project: 'p', parts, version: 1 });

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a run that is looked at', () => {
  it('is asked for once for many changes', async () => {
    const { model, detail, runsChanged } = made();
    const shown = model();
    shown.watched = true;
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(1);
    for (let i = 0; i < 10; i += 1) {
      runsChanged.emit(delta('r1'));
    }
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(2);
  });

  it('is not asked for when other runs change, but when its parts and reproductions do', async () => {
    const again = aRun({ run_id: 'r2', tags: { 'nbledger.reproduces': 'r1' } });
    const { model, detail, runsChanged } = made([aRun(), again, aRun({ run_id: 'r3' })]);
    const shown = model();
    shown.watched = true;
    await vi.runAllTimersAsync();
    runsChanged.emit(delta('r3'));
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(1);
    runsChanged.emit(delta('r2'));
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(2);
    runsChanged.emit({ changed: null, removed: [] });
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(3);
  });

  it('of another experiment follows what the server says', async () => {
    const { model, detail, told } = made([]);
    const shown = model('elsewhere');
    shown.watched = true;
    await vi.runAllTimersAsync();
    told.emit(change('state'));
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(1);
    told.emit(change('runs'));
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(2);
  });

  it('is named by its journal until it has an id', async () => {
    const { model, detail } = made([aRun({ run_id: 'r9', tags: { 'nbledger.journal': 'j' } })]);
    model('j').watched = true;
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledWith('r9');
  });
});

describe('a run that nobody looks at', () => {
  it('is asked for when somebody does', async () => {
    const { model, detail, runsChanged } = made();
    const shown = model();
    shown.watched = true;
    await vi.runAllTimersAsync();
    shown.watched = false;
    runsChanged.emit(delta('r1'));
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(1);
    shown.watched = true;
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(2);
    shown.watched = false;
    shown.watched = true;
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(2);
  });

  it('asks nothing once it is closed', async () => {
    const { model, detail, runsChanged } = made();
    const shown = model();
    shown.watched = true;
    await vi.runAllTimersAsync();
    shown.dispose();
    runsChanged.emit(delta('r1'));
    await vi.runAllTimersAsync();
    expect(detail).toHaveBeenCalledTimes(1);
  });
});

it('the notebook is asked for again when the run ended', async () => {
  const { model, notebook, runsChanged, end } = made();
  const shown = model();
  shown.watched = true;
  await vi.runAllTimersAsync();
  await shown.notebook.refresh();
  runsChanged.emit(delta('r1'));
  await vi.runAllTimersAsync();
  expect(notebook).toHaveBeenCalledTimes(1);
  end();
  runsChanged.emit(delta('r1'));
  await vi.runAllTimersAsync();
  expect(notebook).toHaveBeenCalledTimes(2);
});
