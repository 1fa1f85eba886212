import { nullTranslator } from '@jupyterlab/translation';
import { describe, expect, it } from 'vitest';

import type { IRun } from '../api/types';
import { bundleOf, MIME } from './bundle';
import { digest } from './digest';
import { markOf } from './mark';

const trans = nullTranslator.load('nbledger');
const SOURCE = '%%mlrun forest -m accuracy';
const WHOLE = {
  journal: 'j1',
  run_id: null,
  name: 'forest',
  status: 'FINISHED',
  metrics: { accuracy: 0.9375 },
  main: 'accuracy',
  source: digest(SOURCE)
};

function run(fields: Partial<IRun>): IRun {
  return { run_id: 'r1', name: 'forest', status: 'FINISHED', metrics: {}, ...fields } as IRun;
}

describe('the bundle of an output', () => {
  it('is that of the last output that has one', () => {
    const outputs = [
      { data: { [MIME]: WHOLE } },
      { data: { 'text/plain': 'x' } },
      { data: { [MIME]: { ...WHOLE, journal: 'j2' } } }
    ];
    expect(bundleOf(outputs)?.journal).toBe('j2');
    expect(bundleOf([{ data: {} }])).toBeNull();
  });

  it.each([null, 'text', 7, [], {}, { ...WHOLE, journal: 7 }, { ...WHOLE, name: null }])(
    'is not trusted: %j',
    value => {
      expect(bundleOf([{ data: { [MIME]: value } }])).toBeNull();
    }
  );

  it('keeps only metrics that are numbers', () => {
    const metrics = { a: 1, b: 'nan', c: 'x', d: null, e: { f: 1 } };
    expect(bundleOf([{ data: { [MIME]: { ...WHOLE, metrics } } }])?.metrics).toEqual({
      a: 1,
      b: 'nan'
    });
  });
});

describe('the mark of a cell', () => {
  it('says what the output says while the run is not known', () => {
    const mark = markOf(WHOLE, undefined, false, digest(SOURCE), trans);
    expect(mark).toMatchObject({
      status: 'FINISHED',
      name: 'forest',
      metric: 'accuracy 0.9375',
      run: null,
      edited: false
    });
  });

  it('follows the run: a dead kernel, a new name, another value', () => {
    const known = run({ status: 'KILLED', name: 'renamed', metrics: { accuracy: 0.5 } });
    const mark = markOf({ ...WHOLE, status: 'RUNNING' }, known, true, digest(SOURCE), trans);
    expect(mark).toMatchObject({
      status: 'KILLED',
      sign: '■',
      name: 'renamed',
      metric: 'accuracy 0.5',
      run: 'r1'
    });
  });

  it('names the main metric in whatever order they were saved', () => {
    const bundle = { ...WHOLE, metrics: { accuracy: 1, loss: 2 }, main: 'loss' };
    expect(markOf(bundle, undefined, false, '', trans).metric).toBe('loss 2');
  });

  it('believes the output that the run ended, before the store says so', () => {
    const known = run({ status: 'RUNNING', metrics: { accuracy: 0.5 } });
    const mark = markOf(WHOLE, known, true, digest(SOURCE), trans);
    expect(mark).toMatchObject({ status: 'FINISHED', metric: 'accuracy 0.9375', run: 'r1' });
  });

  it('tells a source that was edited, but not one that is not known', () => {
    const edited = (source: string, now: string) =>
      markOf({ ...WHOLE, source }, run({}), true, digest(now), trans).edited;
    expect(edited(digest(SOURCE), `${SOURCE}\nx = 1`)).toBe(true);
    expect(edited(digest(SOURCE), `${SOURCE}  \n`)).toBe(false);
    expect(edited('', 'anything')).toBe(false);
  });

  it('shows a metric of the run where the output had none, plain ones first', () => {
    const metrics = { 'report.a': 1, loss: 2 };
    const mark = markOf({ ...WHOLE, metrics: {} }, run({ metrics }), true, '', trans);
    expect(mark.metric).toBe('loss 2');
  });
});
