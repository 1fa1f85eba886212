import type { TranslationBundle } from '@jupyterlab/translation';
import { useMemo, useState, type KeyboardEvent, type PointerEvent, type ReactElement } from 'react';

import {
  laidOut,
  nearest,
  type Along,
  type ICurve,
  type IFrame,
  type ILaidOut,
  type IPlace
} from './curve';
import { Legend, mark } from './marks';
import { number } from '../format';
import { useWidth } from './width';

export interface ICurvesProps {
  readonly title: string;
  readonly curves: readonly ICurve[];
  readonly trans: TranslationBundle;
  readonly height?: number;
  readonly x?: Along;
}

const MOST_ROWS = 200;

/** Curves of one metric laid over each other, with a readout for pointer and keyboard, and their numbers as a table. */
export function Curves({
  title,
  curves,
  trans,
  height = 170,
  x = 'step'
}: ICurvesProps): ReactElement {
  const [place, width] = useWidth<HTMLDivElement>(420);
  const [along, setAlong] = useState<Along>(x);
  const [chosen, setChosen] = useState<string | null>(null);
  const [cursor, setCursor] = useState<number | null>(null);
  const shown = useMemo(() => curves.filter(curve => curve.points.length > 0), [curves]);
  const frame = useMemo<IFrame>(
    () => ({ width, height, left: 46, right: 12, top: 8, bottom: 20 }),
    [width, height]
  );
  const plan = useMemo(() => laidOut(shown, along, frame), [shown, along, frame]);
  const at = plan && cursor !== null ? plan.xs[Math.min(cursor, plan.xs.length - 1)] : undefined;
  const readout = plan && at !== undefined ? readoutOf(shown, plan, at, along, trans) : '';

  return (
    <figure className="nbl-chart" ref={place}>
      <figcaption>
        <bdi className="nbl-chart-title" title={title}>
          {title}
        </bdi>
        <AlongSwitch along={along} onChange={setAlong} trans={trans} title={title} />
      </figcaption>
      {plan ? (
        <div
          className="nbl-chart-plot"
          tabIndex={0}
          role="slider"
          aria-label={trans.__('Values of %1', title)}
          aria-valuemin={0}
          aria-valuemax={plan.xs.length - 1}
          aria-valuenow={cursor ?? 0}
          aria-valuetext={readout || trans.__('Arrow keys read values')}
          onKeyDown={event => {
            moved(event, plan.xs.length, cursor, setCursor);
          }}
          onPointerMove={event => {
            setCursor(under(event, plan));
          }}
          onPointerLeave={() => {
            setCursor(null);
          }}
          onBlur={() => {
            setCursor(null);
          }}
        >
          <Plot
            curves={shown}
            plan={plan}
            frame={frame}
            chosen={chosen}
            at={at}
            along={along}
            trans={trans}
          />
        </div>
      ) : (
        <p className="nbl-chart-none">{trans.__('No finite values')}</p>
      )}
      <p className="nbl-chart-readout" aria-hidden="true">
        {readout}
      </p>
      {shown.length > 1 && (
        <Legend
          names={shown}
          chosen={chosen}
          onChoose={setChosen}
          label={trans.__('Runs in the chart of %1', title)}
        />
      )}
      {plan && <Numbers curves={shown} plan={plan} along={along} trans={trans} />}
    </figure>
  );
}

interface IPlotProps {
  readonly curves: readonly ICurve[];
  readonly plan: ILaidOut;
  readonly frame: IFrame;
  readonly chosen: string | null;
  readonly at: number | undefined;
  readonly along: Along;
  readonly trans: TranslationBundle;
}

function Plot({ curves, plan, frame, chosen, at, along, trans }: IPlotProps): ReactElement {
  const { width, height, left, right, bottom } = frame;
  return (
    <svg width={width} height={height} aria-hidden="true">
      <g className="nbl-axis">
        {plan.yTicks.map(tick => (
          <g key={tick.at}>
            <line x1={left} x2={width - right} y1={tick.at} y2={tick.at} />
            <text x={left - 6} y={tick.at} dy="0.32em" textAnchor="end">
              {tick.label}
            </text>
          </g>
        ))}
        {plan.xTicks.map(tick => (
          <text key={tick.at} x={tick.at} y={height - bottom + 14} textAnchor="middle">
            {along === 'time' ? trans.__('%1 s', tick.label) : tick.label}
          </text>
        ))}
      </g>
      {at !== undefined && (
        <line
          className="nbl-cursor"
          x1={plan.x(at)}
          x2={plan.x(at)}
          y1={frame.top}
          y2={height - bottom}
        />
      )}
      {curves.map((curve, index) => (
        <CurveLine
          key={curve.id}
          index={index}
          plan={plan}
          faded={chosen !== null && chosen !== curve.id}
          at={at}
        />
      ))}
    </svg>
  );
}

interface ICurveLineProps {
  readonly index: number;
  readonly plan: ILaidOut;
  readonly faded: boolean;
  readonly at: number | undefined;
}

function CurveLine({ index, plan, faded, at }: ICurveLineProps): ReactElement {
  const { className, dash, path } = mark(index);
  const places = plan.places[index] ?? [];
  const finite = places.filter(place => Number.isFinite(place.value));
  const read = at === undefined ? null : nearest(finite, at);
  const marked = read ?? furthest(finite);
  return (
    <g className={`nbl-curve ${className}${faded ? ' nbl-mod-faded' : ''}`}>
      <path className="nbl-curve-line" d={plan.paths[index]} strokeDasharray={dash} />
      {marked && (
        <path
          className="nbl-point"
          d={path}
          transform={`translate(${plan.x(marked.x)},${plan.y(marked.value)})`}
        />
      )}
    </g>
  );
}

function furthest(places: readonly IPlace[]): IPlace | null {
  return places.reduce<IPlace | null>((far, one) => (far && far.x > one.x ? far : one), null);
}

interface IAlongProps {
  readonly along: Along;
  readonly onChange: (along: Along) => void;
  readonly trans: TranslationBundle;
  readonly title: string;
}

function AlongSwitch({ along, onChange, trans, title }: IAlongProps): ReactElement {
  return (
    <span className="nbl-switch" role="group" aria-label={trans.__('Axis of %1', title)}>
      {(['step', 'time'] as const).map(one => (
        <button
          key={one}
          type="button"
          aria-pressed={along === one}
          onClick={() => {
            onChange(one);
          }}
        >
          {one === 'step' ? trans.__('step') : trans.__('time')}
        </button>
      ))}
    </span>
  );
}

interface INumbersProps {
  readonly curves: readonly ICurve[];
  readonly plan: ILaidOut;
  readonly along: Along;
  readonly trans: TranslationBundle;
}

/** The chart's numbers for those who cannot or would not look at it; made only once it is opened. */
function Numbers({ curves, plan, along, trans }: INumbersProps): ReactElement {
  const [open, setOpen] = useState(false);
  const rows = open ? plan.xs.slice(0, MOST_ROWS) : [];
  return (
    <details
      className="nbl-chart-numbers"
      onToggle={event => {
        setOpen(event.currentTarget.open);
      }}
    >
      <summary>{trans.__('Numbers')}</summary>
      {open && (
        <div className="nbl-scroll" tabIndex={0} role="region" aria-label={trans.__('Numbers')}>
          <table>
            <thead>
              <tr>
                <th scope="col">{along === 'step' ? trans.__('step') : trans.__('seconds')}</th>
                {curves.map(curve => (
                  <th key={curve.id} scope="col">
                    <bdi>{curve.name}</bdi>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map(x => (
                <tr key={x}>
                  <th scope="row">{number(x)}</th>
                  {plan.places.map((places, index) => (
                    <td key={curves[index]?.id}>
                      {number(places.find(place => place.x === x)?.value ?? null)}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </details>
  );
}

function readoutOf(
  curves: readonly ICurve[],
  plan: ILaidOut,
  at: number,
  along: Along,
  trans: TranslationBundle
): string {
  const where = along === 'step' ? trans.__('step %1', number(at)) : trans.__('%1 s', number(at));
  const values = curves.map((curve, index) => {
    const value = number(nearest(plan.places[index] ?? [], at)?.value ?? null);
    return curves.length > 1 ? `${short(curve.name)} ${value}` : value;
  });
  return `${where}: ${values.join(' · ')}`;
}

function short(name: string): string {
  return name.length > 24 ? `${name.slice(0, 23)}…` : name;
}

function moved(
  event: KeyboardEvent,
  count: number,
  cursor: number | null,
  setCursor: (cursor: number | null) => void
): void {
  const now = cursor ?? -1;
  const next = {
    ArrowRight: now + 1,
    ArrowUp: now + 1,
    ArrowLeft: now - 1,
    ArrowDown: now - 1,
    PageUp: now + 10,
    PageDown: now - 10,
    Home: 0,
    End: count - 1
  }[event.key];
  if (next !== undefined) {
    event.preventDefault();
    event.stopPropagation();
    setCursor(Math.min(Math.max(next, 0), count - 1));
  } else if (event.key === 'Escape') {
    setCursor(null);
  }
}

function under(event: PointerEvent<HTMLElement>, plan: ILaidOut): number {
  const left = event.clientX - event.currentTarget.getBoundingClientRect().left;
  let found = 0;
  plan.xs.forEach((x, index) => {
    const now = plan.xs[found] ?? 0;
    if (Math.abs(plan.x(x) - left) < Math.abs(plan.x(now) - left)) {
      found = index;
    }
  });
  return found;
}
