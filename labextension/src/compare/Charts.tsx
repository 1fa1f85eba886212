import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IComparison } from '../api/types';
import { Bars, coordinate, Curves, numeric, Parallel, type IAxis } from '../shared/charts';
import { useLive } from '../shared/hooks';
import type { CompareModel } from './model';
import { Capped, differ, Part } from './pieces';

const MOST_CHARTS = 6;
const MOST_AXES = 12;

interface IChartsProps {
  readonly comparison: IComparison;
  readonly names: readonly string[];
  readonly model: CompareModel;
  readonly trans: TranslationBundle;
}

/** Curves of what was logged more than once, bars of the rest, and from three runs on parallel coordinates. */
export function Charts({ comparison, names, model, trans }: IChartsProps): ReactElement | null {
  useLive(model.series);
  const sides = comparison.runs.map((side, at) => ({
    id: side.run_id || `${side.kind}-${at}`,
    name: names[at] ?? side.title
  }));
  const curved = Object.keys(comparison.series);
  const plain = Object.keys(comparison.metrics).filter(
    name => !curved.includes(name) && (comparison.metrics[name] ?? []).some(value => value !== null)
  );
  if (!curved.length && !plain.length) {
    return null;
  }
  return (
    <Part title={trans.__('Charts')}>
      {names.length > 2 && <Coordinates comparison={comparison} sides={sides} trans={trans} />}
      <Capped all={[...curved, ...plain]} most={MOST_CHARTS} trans={trans}>
        {shown => (
          <div className="nbl-charts">
            {shown.map(name =>
              curved.includes(name) ? (
                <Curves
                  key={name}
                  title={name}
                  curves={sides.map(side => ({ ...side, points: model.points(side.id, name) }))}
                  trans={trans}
                />
              ) : (
                <Bars
                  key={name}
                  title={name}
                  bars={sides.map((side, at) => ({
                    ...side,
                    value: comparison.metrics[name]?.[at] ?? null
                  }))}
                  direction={model.better(name)}
                  trans={trans}
                />
              )
            )}
          </div>
        )}
      </Capped>
    </Part>
  );
}

function Coordinates({
  comparison,
  sides,
  trans
}: {
  readonly comparison: IComparison;
  readonly sides: readonly { readonly id: string; readonly name: string }[];
  readonly trans: TranslationBundle;
}): ReactElement | null {
  const axes: IAxis[] = [
    ...Object.entries(comparison.params)
      .filter(([, values]) => differ(values))
      .map(([key, values]) => ({
        key,
        name: key,
        kind: 'parameter' as const,
        values: values.map(coordinate)
      })),
    ...Object.entries(comparison.metrics)
      .filter(([, values]) => differ(values))
      .map(([key, values]) => ({
        key,
        name: key,
        kind: 'metric' as const,
        values: values.map(numeric)
      }))
  ];
  return axes.length < 2 ? null : (
    <Parallel
      title={trans.__('Parameters and metrics together')}
      axes={axes.slice(-MOST_AXES)}
      runs={sides}
      trans={trans}
    />
  );
}
