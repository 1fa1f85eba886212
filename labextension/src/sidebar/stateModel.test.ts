import { describe, expect, it } from 'vitest';

import type { ICode, IData, IState } from '../api/types';
import { badge } from '../shared/badge';
import { calm, plain } from './fixtures';
import { branch, checkpointPaths, groups } from './stateModel';

const code = (over: Partial<ICode>): IState => calm({ code: { ...calm().code, ...over } });
const data = (over: Partial<IData>): IState => calm({ data: { ...calm().data, ...over } });
const said = (state: IState) => groups(state, plain).map(group => [group.id, group.deed]);

describe('the lines of the state', () => {
  it('are none where everything is recorded', () => {
    expect(groups(calm(), plain)).toEqual([]);
  });

  it.each<[string, IState, string | null]>([
    ['untracked-inputs', data({ untracked_inputs: ['in.csv'] }), 'track'],
    ['missing', data({ missing: ['a.csv'] }), 'pull'],
    ['data-changed', data({ changed: ['a.csv'] }), 'track'],
    ['changed', code({ changed: ['a.py'] }), 'checkpoint'],
    ['untracked', code({ untracked: ['b.py'] }), 'checkpoint'],
    ['large', code({ large: [{ path: 'big.bin', size: 5e7 }] }), 'track'],
    ['not-pushed', data({ not_pushed: ['a.csv'] }), 'push'],
    ['stale', calm({ pipeline: { stale: ['train'] } }), 'pipeline'],
    ['operation', code({ operation: 'merge' }), null],
    ['no-dvc', data({ repository: false }), 'init'],
    ['tracking-away', calm({ tracking: { ...calm().tracking, reachable: false } }), null],
    ['publishing', calm({ tracking: { ...calm().tracking, pending: 2 } }), null],
    ['undo', code({ undo: { commit: 'c', message: 'm' } }), 'undo'],
    ['no-remote', data({ tracked_count: 1, remote: null }), 'remote']
  ])('%s has its one action', (id, state, deed) => {
    expect(said(state)).toEqual([[id, deed]]);
  });

  it('ask to publish only where the keeper cannot', () => {
    const state = calm({ tracking: { ...calm().tracking, reachable: false, pending: 2 } });
    expect(said(state)).toEqual([
      ['tracking-away', null],
      ['pending', 'flush']
    ]);
  });

  it('begin with what weighs most', () => {
    const state = calm({
      code: { ...calm().code, changed: ['a.py'], undo: { commit: 'c', message: 'm' } },
      data: { ...calm().data, missing: ['x'], untracked_inputs: ['in.csv'] }
    });
    expect(said(state).map(([id]) => id)).toEqual([
      'untracked-inputs',
      'missing',
      'changed',
      'undo'
    ]);
  });

  it('name a large file once, with its size, and no checkpoint takes it along', () => {
    const state = code({
      untracked: ['big.bin', 'b.py'],
      changed: ['a.py'],
      large: [{ path: 'big.bin', size: 60_000_000 }]
    });
    const found = groups(state, plain);
    expect(found.map(group => group.paths)).toEqual([['big.bin'], ['a.py'], ['b.py']]);
    expect(found[0]?.asides).toEqual({ 'big.bin': '60.0 MB' });
    expect(checkpointPaths(state)).toEqual(['a.py', 'b.py']);
  });
});

it('an input that a run read is no code to be committed', () => {
  const state = calm({
    code: { ...calm().code, untracked: ['in.csv', 'b.py'] },
    data: { ...calm().data, untracked_inputs: ['in.csv'] }
  });
  expect(groups(state, plain).map(group => group.paths)).toEqual([['in.csv'], ['b.py']]);
  expect(checkpointPaths(state)).toEqual(['b.py']);
});

describe('the branch', () => {
  it.each<[Partial<ICode>, Partial<IData>, string, string | null]>([
    [{}, {}, 'main', null],
    [{ ahead: 2 }, {}, 'main', 'push'],
    [{ ahead: 2, behind: 1 }, {}, 'main', 'pull'],
    [{}, { not_pushed: ['a'] }, 'main', 'push'],
    [{ branch: null }, {}, 'detached 0123456', null],
    [{ branch: null, commit: null, ahead: null, behind: null }, {}, 'no commit yet', null]
  ])('%j %j reads %s and offers %s', (git, files, name, deed) => {
    const state = calm({ code: { ...calm().code, ...git }, data: { ...calm().data, ...files } });
    const found = branch(state, plain);
    expect([found.name, found.deed]).toEqual([name, deed]);
  });
});

describe('the badge', () => {
  const because = [
    { kind: 'data-missing', text: 'a.csv is missing', paths: ['a.csv'] },
    { kind: 'code', text: '2 files are changed', paths: ['a', 'b'] }
  ];
  it.each<[string, Parameters<typeof badge>, string]>([
    ['ok', [calm(), plain], 'Reproducible: a run now could be brought back'],
    [
      'not-yet',
      [calm({ clean: false, because }), plain],
      'Not yet reproducible: because a.csv is missing (and 1 more)'
    ],
    [
      'not-yet',
      [calm(), plain, null, ['train.ipynb']],
      'Not yet reproducible: because train.ipynb is not saved'
    ],
    ['none', [code({ repository: false }), plain], 'This folder is not under version control'],
    ['unknown', [null, plain], 'Looking at the project…'],
    ['away', [null, plain, { error: 'gone', hint: 'come back', code: 3 }], 'gone']
  ])('is %s', (kind, given, text) => {
    const sum = badge(...given);
    expect([sum.kind, sum.text]).toEqual([kind, text]);
  });
});
