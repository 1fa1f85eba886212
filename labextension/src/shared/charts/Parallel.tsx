import type { TranslationBundle } from '@jupyterlab/translation';
import { line } from 'd3-shape';
import { useState, type ReactElement } from 'react';

import { Legend, mark } from './marks';
import { number } from '../format';
import { NONE } from './numbers';
import { laidAxes, type IAxis, type ILaidAxis } from './parallel';
import { useWidth } from './width';

export interface IParallelProps {
  readonly title: string;
  readonly axes: readonly IAxis[];
  /** The runs, in the order of each axis' values. */
  readonly runs: readonly { readonly id: string; readonly name: string }[];
  readonly trans: TranslationBundle;
  readonly height?: number;
}

const LEAST = 84;

/** Parallel coordinates: an axis each parameter and metric that differs, a line each run. */
export function Parallel({ title, axes, runs, trans, height = 240 }: IParallelProps): ReactElement {
  const [place, found] = useWidth<HTMLDivElement>(640);
  const [chosen, setChosen] = useState<string | null>(null);
  const width = Math.max(found, axes.length * LEAST);
  const laid = laidAxes(axes, 44, width - 44, 44, height - 16);
  return (
    <figure className="nbl-chart nbl-parallel">
      <figcaption>
        <span className="nbl-chart-title">{title}</span>
      </figcaption>
      <div className="nbl-scroll" ref={place} tabIndex={0} role="region" aria-label={title}>
        <svg width={width} height={height} role="img" aria-label={title}>
          <title>{chosen === null ? title : readoutOf(axes, runs, chosen)}</title>
          {laid.map((one, at) => (
            <Axis
              last={at > 0 && at === laid.length - 1}
              key={one.axis.kind + one.axis.key}
              kind={one.axis.kind === 'metric' ? trans.__('metric') : trans.__('param')}
              laid={one}
              top={44}
              bottom={height - 16}
            />
          ))}
          {runs.map((run, index) => (
            <RunLine
              key={run.id}
              laid={laid}
              index={index}
              faded={chosen !== null && chosen !== run.id}
              onHover={over => {
                setChosen(over ? run.id : null);
              }}
            />
          ))}
        </svg>
      </div>
      <p className="nbl-chart-readout" role="status">
        {chosen === null ? '' : readoutOf(axes, runs, chosen)}
      </p>
      <Legend
        names={runs}
        chosen={chosen}
        onChoose={setChosen}
        label={trans.__('Runs in the parallel coordinates')}
      />
    </figure>
  );
}

interface IAxisProps {
  readonly laid: ILaidAxis;
  readonly kind: string;
  /** The last axis' labels stand at its left. */
  readonly last: boolean;
  readonly top: number;
  readonly bottom: number;
}

function Axis({ laid, kind, last, top, bottom }: IAxisProps): ReactElement {
  const { axis, x, ticks } = laid;
  return (
    <g className="nbl-axis" transform={`translate(${x},0)`}>
      <text className="nbl-axis-name" y={12} textAnchor="middle">
        {clipped(axis.name, 14)}
        <title>{axis.name}</title>
      </text>
      <text className="nbl-axis-kind" y={25} textAnchor="middle">
        {kind}
      </text>
      <line y1={top} y2={bottom} />
      {ticks.map(tick => (
        <text
          key={tick.label}
          x={last ? -5 : 5}
          y={tick.at}
          dy={aside(tick.at, top, bottom)}
          textAnchor={last ? 'end' : 'start'}
        >
          {clipped(tick.label, 10)}
        </text>
      ))}
    </g>
  );
}

/** Lines may run along the ends of the axes: the labels there stand above and below them. */
function aside(at: number, top: number, bottom: number): string {
  if (at <= top + 1) {
    return '-0.4em';
  }
  return at >= bottom - 1 ? '1em' : '0.32em';
}

interface IRunLineProps {
  readonly laid: readonly ILaidAxis[];
  readonly index: number;
  readonly faded: boolean;
  readonly onHover: (over: boolean) => void;
}

function RunLine({ laid, index, faded, onHover }: IRunLineProps): ReactElement {
  const { className, dash, path } = mark(index);
  const drawn = line<ILaidAxis>()
    .x(one => one.x)
    .y(one => one.places[index] ?? 0)(laid.filter(one => typeof one.places[index] === 'number'));
  return (
    <g
      className={`nbl-curve ${className}${faded ? ' nbl-mod-faded' : ''}`}
      onPointerEnter={() => {
        onHover(true);
      }}
      onPointerLeave={() => {
        onHover(false);
      }}
    >
      <path className="nbl-curve-line" d={drawn ?? ''} strokeDasharray={dash} />
      <path className="nbl-grip" d={drawn ?? ''} />
      {laid.map(one => {
        const at = one.places[index];
        return typeof at === 'number' ? (
          <path
            key={one.axis.kind + one.axis.key}
            className="nbl-point"
            d={path}
            transform={`translate(${one.x},${at})`}
          />
        ) : null;
      })}
    </g>
  );
}

function readoutOf(axes: readonly IAxis[], runs: IParallelProps['runs'], chosen: string): string {
  const index = runs.findIndex(run => run.id === chosen);
  const values = axes.map(axis => {
    const value = axis.values[index] ?? null;
    const shown =
      value === null ? NONE : typeof value === 'number' ? number(value) : clipped(value, 24);
    return `${clipped(axis.name, 24)} ${shown}`;
  });
  return `${clipped(runs[index]?.name ?? '', 40)}: ${values.join(' · ')}`;
}

function clipped(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}
