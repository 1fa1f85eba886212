/** `dvc.yaml` as boxes and lines on a plane. */

import { Graph, layout } from '@dagrejs/dagre';

import type { IPipeline, IPipelineNode } from '../api/types';

export const WIDTH = 200;
export const HEIGHT = 44;

export interface IBox {
  readonly node: IPipelineNode;
  /** The upper left corner. */
  readonly x: number;
  readonly y: number;
}

export interface IPoint {
  readonly x: number;
  readonly y: number;
}

export interface ILine {
  readonly from: string;
  readonly to: string;
  readonly points: readonly IPoint[];
}

export interface IDrawing {
  readonly boxes: readonly IBox[];
  readonly lines: readonly ILine[];
  readonly width: number;
  readonly height: number;
}

export interface IGraph {
  readonly nodes: readonly IPipelineNode[];
  readonly edges: readonly { readonly from: string; readonly to: string }[];
}

/** The graph of the stages alone: what a stage writes and another reads becomes a line between the two. */
export function stagesOnly(pipeline: IGraph): IGraph {
  const stages = new Set(pipeline.nodes.filter(node => node.kind === 'stage').map(node => node.id));
  const next = new Map<string, string[]>();
  for (const { from, to } of pipeline.edges) {
    next.set(from, [...(next.get(from) ?? []), to]);
  }
  const edges: { from: string; to: string }[] = [];
  for (const stage of stages) {
    const seen = new Set<string>();
    const open = [...(next.get(stage) ?? [])];
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      if (seen.has(id)) {
        continue;
      }
      seen.add(id);
      if (!stages.has(id)) {
        open.push(...(next.get(id) ?? []));
      } else if (id !== stage) {
        edges.push({ from: stage, to: id });
      }
    }
  }
  return { nodes: pipeline.nodes.filter(node => stages.has(node.id)), edges };
}

/** Layers from top to bottom, as `dvc dag` draws them. */
export function drawn({ nodes, edges }: IGraph): IDrawing {
  const graph = new Graph({ multigraph: false, compound: false });
  graph.setGraph({ rankdir: 'TB', nodesep: 24, ranksep: 40, marginx: 16, marginy: 16 });
  graph.setDefaultEdgeLabel(() => ({}));
  const known = new Map(nodes.map(node => [node.id, node]));
  for (const id of known.keys()) {
    graph.setNode(id, { width: WIDTH, height: HEIGHT });
  }
  for (const { from, to } of edges) {
    if (from !== to && known.has(from) && known.has(to)) {
      graph.setEdge(from, to);
    }
  }
  layout(graph);
  const boxes = Array.from(known.values(), node => {
    const place = graph.node(node.id) as IPoint;
    return { node, x: place.x - WIDTH / 2, y: place.y - HEIGHT / 2 };
  });
  const lines = graph.edges().map(edge => ({
    from: edge.v,
    to: edge.w,
    points: (graph.edge(edge) as { points: readonly IPoint[] }).points
  }));
  const size = graph.graph() as { width?: number; height?: number };
  return { boxes, lines, width: size.width ?? 0, height: size.height ?? 0 };
}

/** A smooth path through a line's points. */
export function path(points: readonly IPoint[]): string {
  const [first, ...rest] = points;
  if (!first) {
    return '';
  }
  let said = `M${round(first.x)} ${round(first.y)}`;
  for (let at = 0; at < rest.length; at += 1) {
    const [here, after] = [rest[at], rest[at + 1]];
    if (here && after && at < rest.length - 1) {
      said += `Q${round(here.x)} ${round(here.y)} ${round((here.x + after.x) / 2)} ${round((here.y + after.y) / 2)}`;
    } else if (here) {
      said += `L${round(here.x)} ${round(here.y)}`;
    }
  }
  return said;
}

export type Way = 'up' | 'down' | 'left' | 'right';

/** The box that an arrow key leads to: along a line where there is one, else the nearest that way. */
export function towards(drawing: IDrawing, from: string, way: Way): string | null {
  const here = drawing.boxes.find(box => box.node.id === from);
  if (!here) {
    return drawing.boxes[0]?.node.id ?? null;
  }
  const along = new Set(
    drawing.lines.flatMap(line =>
      way === 'down' && line.from === from
        ? [line.to]
        : way === 'up' && line.to === from
          ? [line.from]
          : []
    )
  );
  const reachable = drawing.boxes.filter(box => lies(here, box, way));
  const linked = reachable.filter(box => along.has(box.node.id));
  return nearest(here, linked.length ? linked : reachable)?.node.id ?? null;
}

function lies(here: IBox, there: IBox, way: Way): boolean {
  const [dx, dy] = [there.x - here.x, there.y - here.y];
  const level = Math.abs(dy) < HEIGHT;
  switch (way) {
    case 'up':
      return dy <= -HEIGHT;
    case 'down':
      return dy >= HEIGHT;
    case 'left':
      return level && dx < 0;
    case 'right':
      return level && dx > 0;
  }
}

function nearest(here: IBox, boxes: readonly IBox[]): IBox | undefined {
  const far = (box: IBox) => Math.hypot(box.x - here.x, 3 * (box.y - here.y));
  return boxes.reduce<IBox | undefined>(
    (best, box) => (best && far(best) <= far(box) ? best : box),
    undefined
  );
}

/** The stages in an order in which each stands after what it needs; what lies in a circle keeps its place. */
export function inOrder(pipeline: Pick<IPipeline, 'nodes' | 'edges'>): readonly IPipelineNode[] {
  const { nodes, edges } = stagesOnly(pipeline);
  const needs = new Map(nodes.map(node => [node.id, new Set<string>()]));
  edges.forEach(({ from, to }) => needs.get(to)?.add(from));
  const sorted: IPipelineNode[] = [];
  let left = [...nodes];
  while (left.length) {
    const free = left.filter(node => needs.get(node.id)?.size === 0);
    const taken = free.length ? free : left.slice(0, 1);
    sorted.push(...taken);
    const ids = new Set(taken.map(node => node.id));
    left = left.filter(node => !ids.has(node.id));
    left.forEach(node => {
      ids.forEach(id => needs.get(node.id)?.delete(id));
    });
  }
  return sorted;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
