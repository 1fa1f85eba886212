// @vitest-environment jsdom
import { nullTranslator } from '@jupyterlab/translation';
import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, expect, test, vi } from 'vitest';

import type { ICompared, IComparison } from '../api/types';
import type { Api } from '../api/api';
import { aRun } from '../runs/model/fixtures';
import type { ILedger } from '../tokens';
import { AddRun } from './AddRun';
import { address, asked } from './address';
import { Causes, weightText } from './Causes';
import { Data } from './Data';
import { titles, type CompareModel } from './model';

import { Metrics } from './Values';

const trans = nullTranslator.load('nbledger');
const HOSTILE = '<img src=x onerror=alert(1)>';

afterEach(cleanup);

function side(title: string, run_id: string): ICompared {
  return {
    title,
    run_id,
    kind: 'run',
    status: 'FINISHED',
    experiment: 'e',
    start: null,
    end: null,
    notebook: null,
    commit: null,
    dirty: null,
    user: null,
    origin: 'nbledger',
    unknown: []
  };
}

test('runs of the same name are told apart by the beginning of their ids', () => {
  const sides = [side('line', 'abcdef00'), side('line', '12345600'), side('forest', 'f')];
  expect(titles(sides)).toEqual(['line (abcdef)', 'line (123456)', 'forest']);
});

test('a tracking server is opened at the run or the comparison; a file or another scheme is not', () => {
  const [a, b] = [aRun('a'), aRun("b'#")];
  expect(address('http://mlflow:5000/', [a])).toBe('http://mlflow:5000/#/experiments/1/runs/a');
  expect(address('https://m/x', [a, b])).toBe(
    `https://m/x/#/compare-runs?runs=${encodeURIComponent(JSON.stringify(['a', "b'#"]))}&experiments=${encodeURIComponent('["1"]')}`
  );
  expect(address('http://m', [])).toBe('http://m');
  expect(address('sqlite:////p/mlflow.db', [a])).toBeNull();
  expect(address('javascript:alert(1)//http://', [a])).toBeNull();
});

test.each([
  [0.95, 'strong'],
  [0.5, 'likely'],
  [0.3, 'possible'],
  [0.05, 'weak'],
  [0, 'no effect']
])('a weight of %d is %s', (weight, word) => {
  expect(weightText(weight, trans)).toBe(word);
});

function elsewhere() {
  const signal = { connect: () => true, disconnect: () => true };
  return {
    trans,
    path: 'one',
    projectChanged: signal,
    runs: { list: [aRun('here')], get: () => undefined, changed: signal },
    attempt: (work: () => Promise<unknown>) => work()
  } as unknown as ILedger;
}

test('a comparison of another project than the one on screen offers that project’s runs', async () => {
  const api = { runs: () => Promise.resolve({ runs: [aRun('there')] }) };
  const model = { ledger: elsewhere(), names: ['.'], api, path: 'other' };
  const { rerender } = render(<AddRun model={model as unknown as CompareModel} />);
  fireEvent.click(screen.getByRole('button', { name: 'Add a run' }));
  expect(await screen.findByText('there')).toBeTruthy();
  expect(screen.queryByText('here')).toBeNull();
  rerender(<AddRun model={{ ...model, path: 'one' } as unknown as CompareModel} />);
  expect(screen.getByText('here')).toBeTruthy();
});

test('a run of another project is opened at that project’s tracking server', async () => {
  const api = {
    state: () => Promise.resolve({ tracking: { uri: 'http://other' }, root: '/other' }),
    detail: (run: string) => Promise.resolve({ run: aRun(run, { experiment_id: '7' }) })
  };
  const { state, runs } = await asked(api as unknown as Api, ['r', '.']);
  expect(address(state.tracking.uri, runs)).toBe('http://other/#/experiments/7/runs/r');
});

test('causes are text, in their order; three runs have none', () => {
  const causes = [
    { kind: 'data', what: HOSTILE, evidence: 'MD5', weight: 0.9 },
    { kind: 'odd', what: 'b', evidence: '', weight: 0.1 }
  ];
  const { container, rerender } = render(
    <Causes causes={causes} equal={false} two trans={trans} />
  );
  expect(container.querySelector('img')).toBeNull();
  const rows = screen.getAllByRole('listitem').map(item => item.textContent);
  expect(rows).toEqual([`strongdata${HOSTILE}MD5`, 'weakoddb']);
  rerender(<Causes causes={causes} equal={false} two={false} trans={trans} />);
  expect(container.textContent).toBe('');
});

const COMPARISON: IComparison = {
  runs: [side('a', 'a'), side('b', 'b')],
  params: {},
  metrics: { loss: [0.5, 0.25], slope: [1, 'nan'], none: [null, 3] },
  data: [],
  code: [],
  environment: [],
  seeds: [],
  order: [],
  causes: [],
  hardware: [],
  deltas: {
    loss: { absolute: -0.25, relative: -0.5 },
    slope: { absolute: 'nan', relative: 'nan' }
  },
  series: {},
  equal: false,
  notes: []
};

test('the best of a metric is starred by its direction, which a click turns round', () => {
  const prefer = vi.fn();
  const model = { better: (name: string) => (name === 'loss' ? 'down' : null), prefer };
  const { container } = render(
    <Metrics
      comparison={COMPARISON}
      names={['a', 'b']}
      model={model as unknown as CompareModel}
      trans={trans}
    />
  );
  const starred = Array.from(container.querySelectorAll('.nbl-mod-best'));
  expect(starred.map(one => one.textContent)).toEqual(['0.25 best']);
  expect(container.querySelector('.nbl-gain')?.textContent).toContain('better');
  expect(container.textContent).toContain('−0.25 (−50 %)');
  expect(container.textContent).toContain('NaN');
  fireEvent.click(screen.getByRole('button', { name: 'loss: lower is better' }));
  expect(prefer).toHaveBeenCalledWith('loss', 'up');
});

test('a long list of data is capped, and distributions are drawn where they are known', () => {
  const column = {
    name: 'price',
    state: 'moved',
    what: 'mean 1 → 2',
    distance: 0.1,
    stats: { q5: [1, 2], q25: [2, 3], q50: [3, 4], q75: [4, 5], q95: [5, 6] }
  } as const;
  const change = {
    values: ['a'.repeat(32), null],
    state: 'changed',
    other: null,
    sizes: [651, null],
    derived: false,
    outside: false,
    needed: true,
    read_by: '',
    files: [],
    keys: [],
    table: {
      rows: [60, 80],
      added: 20,
      removed: 0,
      changed: 0,
      key: [],
      reordered: false,
      columns: [column, { ...column, name: HOSTILE, stats: {} }],
      sampled: null
    },
    note: ''
  } as const;
  const data = Array.from({ length: 30 }, (_, at) => ({ ...change, path: `f${at}.csv` }));
  const { container } = render(<Data data={data} none={['—', '—']} trans={trans} />);
  expect(container.querySelectorAll('article')).toHaveLength(12);
  expect(container.querySelectorAll('article:first-of-type .nbl-distribution')).toHaveLength(2);
  expect(container.textContent).toContain('60 → 80 rows · 20 added');
  expect(container.querySelector('img')).toBeNull();
  fireEvent.click(screen.getByRole('button', { name: 'Show all 30' }));
  expect(container.querySelectorAll('article')).toHaveLength(30);
});
