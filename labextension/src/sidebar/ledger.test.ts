import { Signal } from '@lumino/signaling';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Api } from '../api/api';
import type { IChanged, IProblem, IState, Part } from '../api/types';
import { calm, plain } from './fixtures';
import { Ledger } from './ledger';

/** A server with projects by folder, and what was asked of it. */
function world(projects: Record<string, IState>, bus = true) {
  const asked: string[] = [];
  const owner = {};
  const feed = {
    changed: new Signal<object, IChanged>(owner),
    connected: new Signal<object, void>(owner),
    open: vi.fn(() => {
      if (bus) {
        feed.connected.emit();
      }
    }),
    close: vi.fn()
  };
  const api = (path: () => string): Api => {
    const answer = <T>(name: string, value: () => T) => {
      const at = path();
      asked.push(`${name} ${at}`);
      return Promise.resolve().then(() => {
        if (!projects[at]) {
          throw Object.assign(new Error(), {
            status: 404,
            problem: { error: `there is no ${at}`, hint: '', code: 2 }
          });
        }
        return value();
      });
    };
    return {
      state: () => answer('state', () => projects[path()]),
      jobs: () => answer('jobs', () => ({ jobs: [] })),
      runs: () => answer('runs', () => ({ version: 1, total: 0, runs: [] })),
      changes: () =>
        answer('changes', () => ({ version: 2, total: 0, runs: [], removed: [], reset: false }))
    } as unknown as Api;
  };
  const complain = vi.fn<(problem: IProblem) => void>();
  const ledger = new Ledger({ api, feed, trans: plain, complain });
  const told = (project: string, ...parts: Part[]) => {
    feed.changed.emit({ project, parts, version: 2 });
  };
  /** What was asked since the last time. */
  const since = async () => {
    await vi.advanceTimersByTimeAsync(1);
    return [...new Set(asked.splice(0))];
  };
  return { ledger, feed, told, since, complain };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('the project on screen', () => {
  it('is asked for by its folder, then by its root; runs only when somebody looks', async () => {
    const { ledger, since } = world({ 'wine/src': calm(), wine: calm() });
    ledger.show('wine/src');
    expect(await since()).toEqual(['state wine/src', 'jobs wine']);
    expect(ledger.path).toBe('wine');
    ledger.runs.get('any');
    expect(await since()).toEqual(['runs wine']);
  });

  it('stays the same in another of its folders', async () => {
    const { ledger, since } = world({ wine: calm(), 'wine/src': calm() });
    const changed = vi.fn();
    ledger.show('wine');
    await since();
    ledger.projectChanged.connect(changed);
    ledger.show('wine/src');
    expect(await since()).toEqual(['state wine/src']);
    expect(changed).not.toHaveBeenCalled();
  });

  it('is another one: everything starts anew, and nobody sees the old beside the new', async () => {
    const other = calm({ project: 'Q', base: 'tea' });
    const { ledger, since } = world({ wine: calm(), tea: other });
    ledger.show('wine');
    ledger.runs.get('any');
    await since();
    const seen: unknown[] = [];
    ledger.projectChanged.connect(() => {
      seen.push([ledger.path, ledger.state.value?.project, ledger.runs.loaded, ledger.jobs.value]);
    });
    ledger.show('tea');
    expect(await since()).toEqual(['state tea', 'jobs tea', 'runs tea']);
    expect(seen).toEqual([['tea', 'Q', false, null]]);
  });

  it('is none where the folder is gone', async () => {
    const { ledger, since } = world({ wine: calm() });
    ledger.show('wine');
    await since();
    ledger.show('gone');
    await since();
    expect([ledger.state.value, ledger.state.problem?.error]).toEqual([null, 'there is no gone']);
  });

  it('without a repository is asked for nothing but its state, until there is one', async () => {
    const bare = calm({ code: { ...calm().code, repository: false } });
    const projects = { wine: bare };
    const { ledger, since } = world(projects);
    ledger.show('wine');
    ledger.runs.get('any');
    expect(await since()).toEqual(['state wine']);
    projects.wine = calm();
    await ledger.state.refresh();
    expect(await since()).toEqual(['state wine', 'jobs wine', 'runs wine']);
  });
});

describe('what the server tells', () => {
  it('is asked for, part by part, and passed on', async () => {
    const { ledger, told, since } = world({ wine: calm() });
    ledger.show('wine');
    ledger.runs.get('any');
    await since();
    const heard: (readonly Part[])[] = [];
    ledger.told.connect((_, changed) => heard.push(changed.parts));
    told('P', 'state');
    expect(await since()).toEqual(['state wine']);
    told('P', 'runs', 'jobs');
    expect(await since()).toEqual(['jobs wine', 'changes wine']);
    told('P', 'models');
    expect(await since()).toEqual([]);
    told('another', 'state', 'runs');
    expect(await since()).toEqual([]);
    expect(heard).toEqual([['state'], ['runs', 'jobs'], ['models']]);
  });

  it('is asked for even where the bus does not answer', async () => {
    const { ledger, since } = world({ wine: calm() }, false);
    ledger.show('wine');
    expect(await since()).toEqual([]);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await since()).toEqual(['state wine', 'jobs wine']);
  });

  it('is caught up with when the bus is connected again', async () => {
    const { ledger, feed, since } = world({ wine: calm() });
    ledger.show('wine');
    await since();
    const heard = vi.fn();
    ledger.told.connect(heard);
    feed.connected.emit();
    expect(await since()).toEqual(['state wine', 'jobs wine']);
    expect(heard).toHaveBeenCalledTimes(1);
  });

  it('is not heard while the page is hidden, and caught up with when it is shown', async () => {
    const { ledger, feed, told, since } = world({ wine: calm() });
    ledger.show('wine');
    await since();
    ledger.pause();
    expect(feed.close).toHaveBeenCalledTimes(1);
    told('P', 'state');
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect(await since()).toEqual([]);
    ledger.resume();
    expect(await since()).toEqual(['state wine', 'jobs wine']);
  });

  it('is asked for by nobody in between, but for a sign of life every ten minutes', async () => {
    const { ledger, since } = world({ wine: calm() });
    ledger.show('wine');
    await since();
    await vi.advanceTimersByTimeAsync(9 * 60_000);
    expect(await since()).toEqual([]);
    await vi.advanceTimersByTimeAsync(2 * 60_000);
    expect(await since()).toEqual(['state wine']);
  });
});

describe('paths', () => {
  it.each<[Partial<IState>, string, string | null]>([
    [{}, 'src/a.py', 'wine/src/a.py'],
    [{ base: '' }, 'src/a.py', 'src/a.py'],
    [{ base: null, prefix: 'src' }, 'src/a.py', 'a.py'],
    [{ base: null, prefix: 'src' }, 'data/a.csv', null],
    [{ base: null, prefix: '' }, 'src/a.py', null]
  ])('%j: %s is %s in the contents, and back', async (over, path, served) => {
    const { ledger, since } = world({ x: calm(over) });
    ledger.show('x');
    await since();
    expect(ledger.contentsPath(path)).toBe(served);
    if (served !== null) {
      expect(ledger.projectPath(served)).toBe(path);
    }
  });

  it('of another project are none of ours', async () => {
    const { ledger, since } = world({ wine: calm() });
    ledger.show('wine');
    await since();
    expect(['winery/a.py', 'a.py', 'wine'].map(path => ledger.projectPath(path))).toEqual([
      null,
      null,
      ''
    ]);
    ledger.showNotebook('wine/train.ipynb');
    expect(ledger.notebook).toBe('train.ipynb');
    ledger.showNotebook('tea/train.ipynb');
    expect(ledger.notebook).toBeNull();
  });
});

describe('an attempt', () => {
  it('answers what the work did, or tells why not', async () => {
    const { ledger, complain } = world({});
    const problem = { error: 'no', hint: 'do', code: 1 };
    expect(await ledger.attempt(() => Promise.resolve(7))).toBe(7);
    expect(
      await ledger.attempt(Promise.reject(Object.assign(new Error(), { problem })))
    ).toBeNull();
    expect(await ledger.attempt(() => Promise.reject(new Error('broken')))).toBeNull();
    expect(complain.mock.calls.map(([one]) => one.error)).toEqual(['no', 'broken']);
  });
});
