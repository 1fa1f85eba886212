// @vitest-environment jsdom
import { nullTranslator } from '@jupyterlab/translation';
import { cleanup, fireEvent, render, screen } from '@testing-library/react';
import { afterEach, expect, test } from 'vitest';

import type { ISeriesPoint } from '../../api/types';
import { Bars, best, Curves, direction, Parallel, Sparkline } from '.';
import { laidOut, type ICurve } from './curve';
import { coordinate, laidAxes } from './parallel';

const trans = nullTranslator.load('nbledger');
const FRAME = { width: 200, height: 100, left: 0, right: 0, top: 0, bottom: 0 };

afterEach(cleanup);

function curve(name: string, values: readonly ISeriesPoint[1][]): ICurve {
  return {
    id: name,
    name,
    points: values.map((value, step) => [step, value, 1000 * step] as const)
  };
}

test.each([
  ['val_loss', 'down'],
  ['trainLoss', 'down'],
  ['RMSE', 'down'],
  ['log_loss', 'down'],
  ['report.accuracy', 'up'],
  ['f1', 'up'],
  ['accuracy_error', 'down'],
  ['learning_rate', null],
  ['glossary', null]
] as const)('better is what the name %s says: %s', (name, better) => {
  expect(direction(name)).toBe(better);
});

test('the best are marked only where something is better than something else', () => {
  expect(best([1, 3, 3], 'up')).toEqual([1, 2]);
  expect(best([1, 3, NaN], 'down')).toEqual([0]);
  expect(best([2, 2], 'down')).toEqual([]);
  expect(best([2], 'down')).toEqual([]);
  expect(best([1, 2], null)).toEqual([]);
});

test('a curve with a hole and an infinity is drawn in pieces', () => {
  const plan = laidOut([curve('a', [1, 'nan', 3, 'inf', 2, 4])], 'step', FRAME);
  expect(plan?.paths[0]?.match(/M/g)).toHaveLength(3);
  expect(plan?.y(1)).toBeGreaterThan(plan?.y(4) ?? NaN);
  expect(laidOut([curve('a', ['nan'])], 'step', FRAME)).toBeNull();
});

test('a value logged at the end without a step draws no line back', () => {
  const points: ISeriesPoint[] = [
    [0, 4, 0],
    [1, 3, 1],
    [2, 2, 2],
    [0, 2, 3]
  ];
  const plan = laidOut([{ id: 'a', name: 'a', points }], 'step', FRAME);
  expect(plan?.paths[0]?.match(/L/g)).toHaveLength(2);
  const { container } = render(<Sparkline points={points} label="loss" width={66} />);
  expect(container.querySelector('path')?.getAttribute('d')?.match(/L/g)).toHaveLength(2);
  expect(container.querySelector('circle')?.getAttribute('cx')).toBe('63');
});

test('along time every curve starts at zero', () => {
  const late: ICurve = {
    id: 'b',
    name: 'b',
    points: [
      [0, 1, 90_000],
      [1, 2, 92_000]
    ]
  };
  const plan = laidOut([curve('a', [1, 2]), late], 'time', FRAME);
  expect(plan?.xs).toEqual([0, 1, 2]);
});

test('the arrow keys read the values of all curves', () => {
  render(
    <Curves
      title="loss"
      curves={[curve('forest', [3, 2]), curve('boosted', [4, 1])]}
      trans={trans}
    />
  );
  const plot = screen.getByRole('slider');
  fireEvent.keyDown(plot, { key: 'End' });
  expect(plot.getAttribute('aria-valuetext')).toBe('step 1: forest 2 · boosted 1');
  fireEvent.keyDown(plot, { key: 'ArrowLeft' });
  expect(plot.getAttribute('aria-valuetext')).toBe('step 0: forest 3 · boosted 4');
});

test('runs in a chart differ in more than their colour', () => {
  const { container } = render(
    <Curves title="loss" curves={['a', 'b', 'c'].map(name => curve(name, [1, 2]))} trans={trans} />
  );
  const dashes = Array.from(container.querySelectorAll('.nbl-curve-line')).map(one =>
    one.getAttribute('stroke-dasharray')
  );
  const marks = Array.from(container.querySelectorAll('.nbl-point')).map(one =>
    one.getAttribute('d')
  );
  expect(new Set(dashes).size).toBe(3);
  expect(new Set(marks).size).toBe(3);
});

test('a hostile name stays text', () => {
  const name = '<img src=x onerror=alert(1)>';
  const { container } = render(
    <>
      <Curves title={name} curves={[curve(name, [1, 2]), curve('b', [2, 3])]} trans={trans} />
      <Bars title={name} bars={[{ id: 'a', name, value: 1 }]} direction="up" trans={trans} />
    </>
  );
  expect(container.querySelector('img')).toBeNull();
  expect(container.textContent).toContain(name);
});

test('bars start at zero, below it too', () => {
  const bars = [
    { id: 'a', name: 'a', value: -1 },
    { id: 'b', name: 'b', value: 3 },
    { id: 'c', name: 'c', value: 'nan' as const }
  ];
  const { container } = render(<Bars title="gain" bars={bars} direction="up" trans={trans} />);
  const [below, above] = Array.from(container.querySelectorAll('rect'));
  expect([below?.getAttribute('x'), below?.getAttribute('width')]).toEqual(['0%', '25%']);
  expect([above?.getAttribute('x'), above?.getAttribute('width')]).toEqual(['25%', '75%']);
  expect(container.querySelectorAll('.nbl-mod-best')).toHaveLength(1);
});

test('parallel axes scale numbers and list words; a run without a value passes by', () => {
  const axes = [
    { key: 'n', name: 'n', kind: 'parameter', values: ['10', '100', null].map(coordinate) },
    { key: 'm', name: 'm', kind: 'parameter', values: ['gini', 'entropy', 'gini'] },
    { key: 'a', name: 'a', kind: 'metric', values: [0.5, NaN, 0.9] }
  ] as const;
  const laid = laidAxes(axes, 0, 100, 0, 50);
  expect(laid[0]?.places).toEqual([50, 0, null]);
  expect(laid[1]?.ticks.map(tick => tick.label)).toEqual(['entropy', 'gini']);
  expect(laid[2]?.places).toEqual([50, null, 0]);
  const runs = ['a', 'b', 'c'].map(name => ({ id: name, name }));
  const { container } = render(<Parallel title="All" axes={axes} runs={runs} trans={trans} />);
  expect(container.querySelectorAll('.nbl-curve-line')).toHaveLength(3);
  fireEvent.click(screen.getByRole('button', { name: 'b' }));
  expect(screen.getByRole('status').textContent).toBe('b: n 100 · m entropy · a NaN');
});

test('a sparkline needs two points, and shows a running run its newest', () => {
  const { container, rerender } = render(<Sparkline points={[[0, 1, 0]]} label="loss" />);
  expect(container.querySelector('svg')).toBeNull();
  rerender(
    <Sparkline
      points={[
        [0, 1, 0],
        [1, 'nan', 1],
        [2, 0, 2]
      ]}
      label="loss"
      live
    />
  );
  expect(container.querySelector('svg')?.getAttribute('aria-label')).toBe('loss');
  expect(container.querySelector('path')?.getAttribute('d')).not.toContain('NaN');
});
