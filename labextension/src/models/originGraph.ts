/** A version's ancestry as the canvas of pipelines draws it. */

import type { IAncestor, IAncestry, IPipelineNode } from '../api/types';
import type { IGraph } from '../pipeline/graph';

/** Boxes and lines: files are round, what is missing is dashed. */
export function graphOf(found: IAncestry): IGraph {
  return { nodes: found.nodes.map(boxOf), edges: found.edges };
}

function boxOf(node: IAncestor): IPipelineNode {
  return {
    id: node.id,
    kind: node.kind === 'data' ? 'data' : 'stage',
    label: node.label,
    cmd: node.cmd,
    file: '',
    stale: node.missing !== '',
    why: node.missing ? [node.missing] : [],
    deps: [],
    outs: [],
    params: [],
    metrics: [],
    may_run: false,
    notebook: '',
    cell: ''
  };
}

/** The part of a hash that people say, and what else tells things of one label apart. */
export function about(node: IAncestor): string {
  switch (node.kind) {
    case 'data':
      return node.md5 ? node.md5.slice(0, 8) : '';
    case 'code':
      return node.dirty ? 'snapshot' : '';
    case 'model':
      return node.aliases.map(alias => `@${alias}`).join(' ');
    case 'run':
      return node.run_id.slice(0, 8);
    default:
      return '';
  }
}
