import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';

import type { IData, IState, ITracked } from '../api/types';
import { FileMarks } from './fileMarks';
import { gutter } from './lines';
import { differs, trackable, trackedAt } from './selection';

const TRACKED: readonly ITracked[] = [
  { path: 'data/wine.csv', state: 'clean', folder: false, size: 1 },
  { path: 'images', state: 'clean', folder: true, size: 1 },
  { path: 'raw', state: 'changed', folder: true, size: 1 },
  { path: 'gone.bin', state: 'missing', folder: false, size: null }
];

const STATE = {
  code: { repository: true, changed: ['train.py'], untracked: ['new/'] },
  data: { tracked: TRACKED, changed: ['raw'], missing: ['gone.bin'] }
} as unknown as IState;

describe('marks', () => {
  const marks = new FileMarks(
    { tracked: TRACKED } as unknown as IData,
    nullTranslator.load('nbledger')
  );

  it.each([
    ['data/wine.csv', 'clean'],
    ['images', 'clean'],
    ['images/a/b.png', 'clean'],
    ['raw', 'changed'],
    ['gone.bin.dvc', 'missing']
  ])('%s is %s', (path, state) => {
    expect(marks.at(path)?.state).toBe(state);
  });

  it.each(['data', 'data/wine.csv.dvc', 'raw/a.bin', 'imagesque', 'wine.csv', ''])(
    '%j has none',
    path => {
      expect(marks.at(path)).toBeNull();
    }
  );
});

describe('what can be done with a file', () => {
  it.each([
    ['data/wine.csv', 'data/wine.csv'],
    ['data/wine.csv.dvc', 'data/wine.csv'],
    ['images/a/b.png', 'images'],
    ['other', null]
  ])('%s has the versions of %s', (path, tracked) => {
    expect(trackedAt(STATE, path)).toBe(tracked);
  });

  it('only data that is not versioned as it is can be tracked', () => {
    const paths = [
      'data/wine.csv',
      'images/x.png',
      'raw',
      'big.bin',
      'a.ipynb',
      '.env',
      'dvc.yaml'
    ];
    expect(trackable(STATE, paths)).toEqual(['raw', 'big.bin']);
    expect(trackable(null, paths)).toEqual([]);
  });

  it.each([
    ['train.py', true],
    ['new/file.txt', true],
    ['raw/a.bin', true],
    ['gone.bin.dvc', true],
    ['data/wine.csv', false]
  ])('%s differs: %s', (path, expected) => {
    expect(differs(STATE, path)).toBe(expected);
  });
});

describe('the lines of a diff', () => {
  it('are numbered on both sides', () => {
    const lines = gutter([
      '--- a',
      '@@ -3,3 +3,4 @@',
      ' same',
      '-old',
      '+new',
      '+more',
      '\\ No newline'
    ]);
    expect(lines.map(line => [line.kind, line.before, line.after])).toEqual([
      ['hunk', null, null],
      ['same', 3, 3],
      ['removed', 4, null],
      ['added', null, 4],
      ['added', null, 5],
      ['same', null, null]
    ]);
    expect(lines.map(line => line.text)).toContain('old');
  });
});
