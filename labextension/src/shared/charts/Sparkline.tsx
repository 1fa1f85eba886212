import { line } from 'd3-shape';
import { memo, type ReactElement } from 'react';

import type { ISeriesPoint } from '../../api/types';
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

/** A metric's course as small as a word. */
export const Sparkline = memo(function Sparkline(props: ISparklineProps): ReactElement | null {
  const { points, label, width = 72, height = 18, live = false } = props;
  const places = located(points, width, height);
  if (places.length < 2) {
    return null;
  }
  const last = places[places.length - 1];
  const path = line<readonly [number, number]>()
    .defined(([, y]) => Number.isFinite(y))
    .x(([x]) => x)
    .y(([, y]) => y)(places);
  return (
    <svg
      className={`nbl-sparkline${live ? ' nbl-mod-live' : ''}`}
      width={width}
      height={height}
      role="img"
      aria-label={label}
    >
      <path d={path ?? ''} />
      {last && Number.isFinite(last[1]) && (
        <circle cx={last[0]} cy={last[1]} r={live ? 2.5 : 1.5} />
      )}
    </svg>
  );
});

function located(
  points: readonly ISeriesPoint[],
  width: number,
  height: number
): readonly (readonly [number, number])[] {
  const values = points.map(([, value]) => numeric(value) ?? NaN);
  const range = extent(values);
  const steps = extent(points.map(([step]) => step));
  const first = points[0];
  const last = points[points.length - 1];
  if (!range || !steps || !first || !last) {
    return [];
  }
  const [low, high] = range;
  // Points without steps of their own (all 0) stand one after another.
  const stepped = first[0] !== last[0];
  const start = stepped ? steps[0] : 0;
  const length = stepped ? steps[1] - steps[0] : points.length - 1;
  return points.map(([step], index) => {
    const along = ((stepped ? step : index) - start) / (length || 1);
    const up = ((values[index] ?? NaN) - low) / (high - low);
    return [EDGE + along * (width - 2 * EDGE), height - EDGE - up * (height - 2 * EDGE)] as const;
  });
}
