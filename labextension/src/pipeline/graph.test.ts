import { describe, expect, it } from 'vitest';

import type { IPipelineNode } from '../api/types';
import { drawn, inOrder, path, stagesOnly, towards } from './graph';

const node = (id: string, kind: 'stage' | 'data' = 'stage'): IPipelineNode => ({
  id,
  kind,
  label: id,
  cmd: '',
  file: '',
  stale: false,
  why: [],
  deps: [],
  outs: [],
  params: [],
  metrics: [],
  may_run: false,
  notebook: '',
  cell: ''
});
const edge = (from: string, to: string) => ({ from, to });

const PIPELINE = {
  nodes: [node('train'), node('raw', 'data'), node('clean', 'data'), node('prepare'), node('test')],
  edges: [
    edge('raw', 'prepare'),
    edge('prepare', 'clean'),
    edge('clean', 'train'),
    edge('clean', 'test')
  ]
};

it('stages are linked through the files between them', () => {
  const { nodes, edges } = stagesOnly(PIPELINE);
  expect(nodes.map(one => one.id)).toEqual(['train', 'prepare', 'test']);
  expect(edges).toHaveLength(2);
  expect(edges).toEqual(
    expect.arrayContaining([edge('prepare', 'train'), edge('prepare', 'test')])
  );
});

it('stages are listed in the order in which they would run', () => {
  expect(inOrder(PIPELINE).map(one => one.id)).toEqual(['prepare', 'train', 'test']);
});

it('a circle neither hangs nor loses a stage', () => {
  const circle = {
    nodes: [node('a'), node('b')],
    edges: [edge('a', 'b'), edge('b', 'a'), edge('a', 'a')]
  };
  expect(
    inOrder(circle)
      .map(one => one.id)
      .sort()
  ).toEqual(['a', 'b']);
  expect(drawn(circle).boxes).toHaveLength(2);
});

describe('the drawing', () => {
  const drawing = drawn(PIPELINE);
  const place = (id: string) => drawing.boxes.find(box => box.node.id === id);

  it('puts what is made below what it is made of, and nothing on top of anything', () => {
    expect(place('prepare')?.y).toBeGreaterThan(place('raw')?.y ?? NaN);
    expect(place('train')?.y).toBe(place('test')?.y);
    expect(place('train')?.x).not.toBe(place('test')?.x);
    expect(drawing.lines).toHaveLength(4);
  });

  it('is walked along its lines', () => {
    expect(towards(drawing, 'raw', 'down')).toBe('prepare');
    expect(towards(drawing, 'prepare', 'up')).toBe('raw');
    const [left, right] = ['train', 'test'].sort((a, b) => (place(a)?.x ?? 0) - (place(b)?.x ?? 0));
    expect(towards(drawing, left ?? '', 'right')).toBe(right);
    expect(towards(drawing, left ?? '', 'left')).toBeNull();
    expect(towards(drawing, 'nowhere', 'down')).toBe('train');
  });

  it('leaves out lines to what is not there', () => {
    expect(drawn({ nodes: [node('a')], edges: [edge('a', 'gone')] }).lines).toEqual([]);
    expect(drawn({ nodes: [], edges: [] }).boxes).toEqual([]);
  });
});

it('a line goes through its points', () => {
  expect(path([])).toBe('');
  expect(
    path([
      { x: 0, y: 0 },
      { x: 5, y: 5 },
      { x: 10, y: 0 }
    ])
  ).toBe('M0 0Q5 5 7.5 2.5L10 0');
});
