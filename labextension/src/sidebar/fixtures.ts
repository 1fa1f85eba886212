import type { TranslationBundle } from '@jupyterlab/translation';

import type { IState } from '../api/types';

/** English as it stands in the code; for tests. */
export const plain = {
  __: (text: string, ...args: unknown[]) => filled(text, args),
  _n: (one: string, many: string, n: number, ...args: unknown[]) =>
    filled(n === 1 ? one : many, [n, ...args])
} as unknown as TranslationBundle;

function filled(text: string, args: readonly unknown[]): string {
  return text.replace(/%(\d)/g, (_, at: string) => String(args[Number(at) - 1]));
}

/** The state of a project where everything is recorded; for tests. */
export function calm(over: Partial<IState> = {}): IState {
  return {
    project: 'P',
    root: '/home/ada/wine',
    base: 'wine',
    prefix: '',
    trusted: true,
    version: 1,
    clean: true,
    because: [],
    code: {
      branch: 'main',
      commit: '0123456789abcdef',
      changed: [],
      untracked: [],
      ahead: 0,
      behind: 0,
      operation: '',
      repository: true,
      large: [],
      undo: null,
      upstream: 'origin/main'
    },
    data: {
      changed: [],
      missing: [],
      not_pushed: [],
      pushed_known: true,
      untracked_inputs: [],
      tracked: [],
      tracked_count: 0,
      remote: { name: 'store', url: '/store' },
      repository: true,
      kept: null
    },
    pipeline: { stale: [] },
    tracking: { uri: 'sqlite:///x', experiment: 'wine', reachable: true, pending: 0 },
    notes: [],
    watching: true,
    ...over
  };
}
