import { fileIcon, refreshIcon, runIcon, type LabIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import {
  useEffect,
  useId,
  useMemo,
  useRef,
  useState,
  type KeyboardEvent,
  type ReactElement
} from 'react';

import type { IPipelineNode } from '../api/types';
import { TextButton } from '../shared/parts';
import { Clip, cut } from '../shared/text';
import { drawn, HEIGHT, path, towards, WIDTH, type IDrawing, type IGraph, type Way } from './graph';

const STEP = 1.25;
const [LEAST, GREATEST] = [0.2, 3];
const WAYS: Readonly<Record<string, Way>> = {
  ArrowUp: 'up',
  ArrowDown: 'down',
  ArrowLeft: 'left',
  ArrowRight: 'right'
};

/** What a graph is of: how its boxes are called and drawn. Without it, it is a pipeline's. */
export interface ICanvasWords {
  readonly title: string;
  readonly icon: (node: IPipelineNode) => LabIcon;
  readonly kind: (node: IPipelineNode) => string;
  /** A few words that belong to its name for screen readers; "" for none. */
  readonly state: (node: IPipelineNode) => string;
  /** The same below the label, where it is to be seen. */
  readonly below: (node: IPipelineNode) => string;
}

/** The graph: boxes that are buttons, lines behind them. Arrow keys go along the lines, + and - zoom. */
export function Canvas(props: {
  graph: IGraph;
  selected: string | null;
  select: (id: string) => void;
  words?: ICanvasWords;
  trans: TranslationBundle;
}): ReactElement {
  const { graph, selected, select, trans } = props;
  const words = props.words ?? pipelineWords(trans);
  const drawing = useMemo(() => drawn(graph), [graph]);
  const [zoom, setZoom] = useState(1);
  const frame = useRef<HTMLDivElement>(null);
  const scaled = (factor: number) => {
    setZoom(Math.min(GREATEST, Math.max(LEAST, factor)));
  };
  const fit = () => {
    const room = frame.current;
    if (room?.clientWidth && drawing.width && drawing.height) {
      scaled(Math.min(1, room.clientWidth / drawing.width, room.clientHeight / drawing.height));
    }
  };
  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>) => {
    const way = WAYS[event.key];
    if (way && event.shiftKey) {
      pan(event.currentTarget, way);
    } else if (way) {
      const to = towards(drawing, focused(event.target) ?? selected ?? '', way);
      if (to !== null) {
        boxOf(event.currentTarget, to)?.focus();
      }
    } else if (event.key === '+' || event.key === '=') {
      scaled(zoom * STEP);
    } else if (event.key === '-') {
      scaled(zoom / STEP);
    } else if (event.key === '0') {
      fit();
    } else {
      return;
    }
    event.preventDefault();
  };
  const stop = drawing.boxes.some(box => box.node.id === selected)
    ? selected
    : (drawing.boxes[0]?.node.id ?? null);
  usePanning(frame);
  return (
    <div className="nbl-pipeline-graph">
      <div className="nbl-pipeline-zoom" role="toolbar" aria-label={trans.__('Zoom')}>
        <TextButton
          label="−"
          title={trans.__('Zoom out (-)')}
          onClick={() => {
            scaled(zoom / STEP);
          }}
        />
        <TextButton
          label={`${Math.round(zoom * 100)} %`}
          title={trans.__('As large as it is')}
          onClick={() => {
            setZoom(1);
          }}
        />
        <TextButton
          label="+"
          title={trans.__('Zoom in (+)')}
          onClick={() => {
            scaled(zoom * STEP);
          }}
        />
        <TextButton label={trans.__('Fit')} title={trans.__('Show all (0)')} onClick={fit} />
      </div>
      <div
        ref={frame}
        className="nbl-pipeline-frame"
        role="group"
        aria-label={words.title}
        onKeyDown={onKeyDown}
      >
        <div style={{ width: drawing.width * zoom, height: drawing.height * zoom }}>
          <div
            className="nbl-pipeline-plane"
            style={{
              width: drawing.width,
              height: drawing.height,
              transform: `scale(${zoom})`
            }}
          >
            <Lines drawing={drawing} selected={selected} />
            {drawing.boxes.map(({ node, x, y }) => (
              <Box
                key={node.id}
                node={node}
                place={{ left: x, top: y, width: WIDTH, height: HEIGHT }}
                selected={node.id === selected}
                stop={node.id === stop}
                select={select}
                words={words}
              />
            ))}
          </div>
        </div>
      </div>
    </div>
  );
}

function Lines({
  drawing,
  selected
}: {
  drawing: IDrawing;
  selected: string | null;
}): ReactElement {
  const arrow = useId(); // of each graph its own: one in a tab that is hidden draws nothing
  return (
    <svg width={drawing.width} height={drawing.height} aria-hidden="true">
      <defs>
        <marker
          id={arrow}
          viewBox="0 0 8 8"
          refX="7"
          refY="4"
          markerWidth="9"
          markerHeight="9"
          markerUnits="userSpaceOnUse"
          orient="auto"
        >
          <path d="M0 0 8 4 0 8z" className="nbl-pipeline-head" />
        </marker>
      </defs>
      {drawing.lines.map(line => (
        <path
          key={`${line.from}\n${line.to}`}
          d={path(line.points)}
          className="nbl-pipeline-line"
          data-selected={line.from === selected || line.to === selected}
          markerEnd={`url(#${arrow})`}
        />
      ))}
    </svg>
  );
}

function Box(props: {
  node: IPipelineNode;
  place: { left: number; top: number; width: number; height: number };
  selected: boolean;
  stop: boolean;
  select: (id: string) => void;
  words: ICanvasWords;
}): ReactElement {
  const { node, words } = props;
  const Icon = words.icon(node);
  const [state, below] = [words.state(node), words.below(node)];
  const label = [
    `${words.kind(node)} ${cut(node.label, 200)}`,
    state,
    cut(node.why.join('; '), 300)
  ];
  return (
    <button
      type="button"
      className="nbl-pipeline-box"
      style={props.place}
      data-kind={node.kind}
      data-stale={node.stale}
      data-may-run={node.may_run}
      data-id={node.id}
      aria-pressed={props.selected}
      aria-label={label.filter(Boolean).join(', ')}
      tabIndex={props.stop ? 0 : -1}
      onClick={() => {
        props.select(node.id);
      }}
      onFocus={() => {
        props.select(node.id);
      }}
    >
      <Icon.react tag="span" className="nbl-pipeline-icon" aria-hidden="true" />
      <span className="nbl-pipeline-words">
        <Clip text={node.label} />
        {below ? (
          <span className="nbl-pipeline-stale">
            {node.stale ? <refreshIcon.react tag="span" aria-hidden="true" /> : null}
            {below}
          </span>
        ) : null}
      </span>
    </button>
  );
}

function pipelineWords(trans: TranslationBundle): ICanvasWords {
  const below = (node: IPipelineNode) => (node.stale || node.may_run ? staleWord(node, trans) : '');
  return {
    title: trans.__(
      'The pipeline as a graph. Arrow keys go from stage to stage, shift and arrow keys move the view.'
    ),
    icon: node => (node.kind === 'stage' ? runIcon : fileIcon),
    kind: node => (node.kind === 'stage' ? trans.__('stage') : trans.__('file')),
    state: node => below(node) || (node.kind === 'stage' ? trans.__('up to date') : ''),
    below
  };
}

export function staleWord(node: IPipelineNode, trans: TranslationBundle): string {
  if (node.kind === 'stage') {
    return node.stale ? trans.__('stale') : trans.__('may run');
  }
  return node.why.includes('it is missing') ? trans.__('missing') : trans.__('changed');
}

/** Drag the ground to move the view. */
function usePanning(frame: React.RefObject<HTMLDivElement>): void {
  useEffect(() => {
    const room = frame.current;
    if (!room) {
      return;
    }
    let last: { x: number; y: number } | null = null;
    const down = (event: PointerEvent) => {
      if (event.button === 0 && !(event.target as Element).closest('button')) {
        last = { x: event.clientX, y: event.clientY };
        room.setPointerCapture(event.pointerId);
      }
    };
    const move = (event: PointerEvent) => {
      if (last) {
        room.scrollBy(last.x - event.clientX, last.y - event.clientY);
        last = { x: event.clientX, y: event.clientY };
      }
    };
    const up = () => {
      last = null;
    };
    room.addEventListener('pointerdown', down);
    room.addEventListener('pointermove', move);
    room.addEventListener('pointerup', up);
    room.addEventListener('pointercancel', up);
    return () => {
      room.removeEventListener('pointerdown', down);
      room.removeEventListener('pointermove', move);
      room.removeEventListener('pointerup', up);
      room.removeEventListener('pointercancel', up);
    };
  }, [frame]);
}

function pan(room: HTMLElement, way: Way): void {
  const by = 80;
  room.scrollBy(
    way === 'left' ? -by : way === 'right' ? by : 0,
    way === 'up' ? -by : way === 'down' ? by : 0
  );
}

function focused(target: EventTarget): string | null {
  return (target as Element).closest<HTMLElement>('[data-id]')?.dataset.id ?? null;
}

function boxOf(room: HTMLElement, id: string): HTMLElement | undefined {
  return Array.from(room.querySelectorAll<HTMLElement>('[data-id]')).find(
    box => box.dataset.id === id
  );
}
