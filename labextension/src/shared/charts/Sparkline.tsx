import { line } from 'd3-shape';
import { memo, type ReactElement } from 'react';

import type { ISeriesPoint } from '../../api/types';
import { onward } from './curve';
import { extent, numeric } from './numbers';

export interface ISparklineProps {
  readonly points: readonly ISeriesPoint[];
  /** What a screen reader says instead. */
  readonly label: string;
  readonly width?: number;
  readonly height?: number;
  /** The run goes on: its newest point is marked. */
  readonly live?: boolean;
}

const EDGE = 3;

interface IDot {
  readonly x: number;
  readonly y: number;
}

/** A metric's course as small as a word. */
export const Sparkline = memo(function Sparkline(props: ISparklineProps): ReactElement | null {
  const { points, label, width = 72, height = 18, live = false } = props;
  const places = located(points, width, height);
  if (places.length < 2) {
    return null;
  }
  const last = places.reduce((far, dot) => (far && far.x > dot.x ? far : dot), places[0]);
  const path = line<IDot | null>()
    .defined(dot => dot !== null && Number.isFinite(dot.y))
    .x(dot => dot?.x ?? 0)
    .y(dot => dot?.y ?? 0)(onward(places));
  return (
    <svg
      className={`nbl-sparkline${live ? ' nbl-mod-live' : ''}`}
      width={width}
      height={height}
      role="img"
      aria-label={label}
    >
      <path d={path ?? ''} />
      {last && Number.isFinite(last.y) && <circle cx={last.x} cy={last.y} r={live ? 2.5 : 1.5} />}
    </svg>
  );
});

function located(points: readonly ISeriesPoint[], width: number, height: number): readonly IDot[] {
  const values = points.map(([, value]) => numeric(value) ?? NaN);
  const range = extent(values);
  const steps = extent(points.map(([step]) => step));
  const first = points[0];
  if (!range || !steps || !first) {
    return [];
  }
  const [low, high] = range;
  // Points without steps of their own (all 0) stand one after another.
  const stepped = points.some(([step]) => step !== first[0]);
  const start = stepped ? steps[0] : 0;
  const length = stepped ? steps[1] - steps[0] : points.length - 1;
  return points.map(([step], index) => {
    const along = ((stepped ? step : index) - start) / (length || 1);
    const up = ((values[index] ?? NaN) - low) / (high - low);
    return { x: EDGE + along * (width - 2 * EDGE), y: height - EDGE - up * (height - 2 * EDGE) };
  });
}
