import { expect, it } from 'vitest';

import type { IJob } from '../api/types';
import { commitOf, JobWatch } from './jobWatch';

const job = (id: string, state: IJob['state']): IJob => ({
  id,
  kind: 'push',
  title: id,
  state,
  done: 0,
  total: 0,
  text: '',
  started: '',
  ended: null,
  result: null,
  problem: null
});

it('the end of a job is news once, if it was seen running or was started here', () => {
  const watch = new JobWatch();
  const news = (...jobs: IJob[]) => watch.ended(jobs).map(one => one.id);
  expect(news(job('old', 'done'), job('a', 'running'))).toEqual([]);
  watch.started('quick');
  expect(news(job('a', 'failed'), job('quick', 'done'), job('old', 'done'))).toEqual([
    'a',
    'quick'
  ]);
  expect(news(job('a', 'failed'), job('quick', 'done'))).toEqual([]);
});

it.each([
  [[{ path: 'a', commit: 'c1' }], 'c1'],
  [{ commit: 'c2' }, 'c2'],
  [{ commit: null }, null],
  [[], null],
  ['text', null],
  [null, null]
])('the commit of %j is %s', (result: unknown, commit) => {
  expect(commitOf(result)).toBe(commit);
});
