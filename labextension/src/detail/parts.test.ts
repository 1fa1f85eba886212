import { describe, expect, it } from 'vitest';

import { aliasOk, nameOk } from './names';
import { conclusion } from './reproductions';
import { ownTags, rowProblem, tagChanges, undone } from './tags';
import { tree } from './tree';

describe('artifacts', () => {
  it('stand in their folders, folders first, with the sum of their sizes', () => {
    const [folder, file] = tree([
      { path: 'b.txt', size: 5, folder: false },
      { path: 'a', size: null, folder: true },
      { path: 'a/two', size: 2, folder: false },
      { path: 'a/deep/one', size: null, folder: false }
    ]);
    expect(folder).toMatchObject({ name: 'a', size: 2, files: 2, folder: true });
    expect(folder?.children.map(child => child.path)).toEqual(['a/deep', 'a/two']);
    expect(file).toMatchObject({ name: 'b.txt', size: 5, files: 1, folder: false });
  });

  it('may be an empty folder, or nothing', () => {
    expect(tree([{ path: 'a', size: null, folder: true }])[0]).toMatchObject({
      folder: true,
      files: 0
    });
    expect(tree([])).toEqual([]);
  });
});

describe('tags', () => {
  const before = { 'mlflow.user': 'ada', colour: 'red', size: 'big' };

  it('of MLflow and nbledger are not edited', () => {
    expect(ownTags(before)).toEqual([
      { key: 'colour', value: 'red' },
      { key: 'size', value: 'big' }
    ]);
    expect(rowProblem([{ key: 'nbledger.verdict', value: 'identical' }], 0)).toBe('reserved');
  });

  it('are set, changed and removed, and all of it is undone', () => {
    const changes = tagChanges(before, [
      { key: ' colour ', value: 'blue' },
      { key: 'new', value: '1' },
      { key: '', value: '' }
    ]);
    expect(changes).toEqual({ colour: 'blue', new: '1', size: null });
    expect(undone(before, changes)).toEqual({ colour: 'red', new: null, size: 'big' });
  });

  it.each([
    [[{ key: '', value: '1' }], 'empty'],
    [[{ key: 'a[b]', value: '1' }], 'characters'],
    [[{ key: 'a', value: 'x'.repeat(8_001) }], 'long'],
    [[{ key: 'ä.b:c/d-e f', value: '1' }], null]
  ])('%j: %s', (rows, problem) => {
    expect(rowProblem(rows, 0)).toBe(problem);
  });

  it('have a name once', () => {
    const rows = [
      { key: 'a', value: '1' },
      { key: 'a ', value: '2' }
    ];
    expect([rowProblem(rows, 0), rowProblem(rows, 1)]).toEqual([null, 'twice']);
  });
});

describe('names of the registry', () => {
  it('are what MLflow takes', () => {
    expect(['houses', 'a/b', 'a:b', ' '].map(nameOk)).toEqual([true, false, false, false]);
    expect(['', 'champion', 'a b', 'latest', 'v1', 'x-1_y'].map(aliasOk)).toEqual([
      true,
      true,
      false,
      false,
      false,
      true
    ]);
  });
});

describe('the conclusion of a reproduction', () => {
  it('counts what is equal, and says what is missing', () => {
    expect(
      conclusion({
        verdict: 'different',
        into: '/p/.nbledger/reproduced/x',
        kept: true,
        new_run_id: 'r2',
        metrics: { a: { equal: true }, b: { equal: false } },
        missing: [{ what: 'x.csv', why: 'not in the cache', hint: 'dvc pull' }],
        causes: [{ what: 'numpy', evidence: '1 → 2' }],
        notes: ['slow']
      })
    ).toEqual({
      verdict: 'different',
      into: '/p/.nbledger/reproduced/x',
      again: 'r2',
      equal: 1,
      metrics: 2,
      lines: ['x.csv: not in the cache: dvc pull', 'numpy: 1 → 2', 'slow']
    });
  });

  it('of a folder that is gone names none', () => {
    expect(conclusion({ verdict: 'identical', into: '/p/x', kept: false })?.into).toBeNull();
    expect(conclusion('nonsense')).toBeNull();
  });
});
