import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import { useEffect, type ReactElement } from 'react';

import type { IRun } from '../../api/types';
import { Sparkline, told } from '../../shared/charts';
import { ago, duration, moment, number, time } from '../../shared/format';
import { personKey } from '../../shared/people';
import { Clip, PathText } from '../../shared/text';
import { useNow } from '../clock';
import type { IColumn } from '../model/columns';
import type { RunsModel } from '../model/model';
import { took } from '../model/sort';
import type { IRow } from '../model/tree';
import { StatusMark } from '../StatusMark';
import { isForeign, nameOf, recordedBy, reproduced, VERDICT, waits } from '../texts';

export interface ICellProps {
  readonly row: IRow;
  readonly column: IColumn;
  readonly width: number;
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}

/** What a run shows in a column. */
export function CellContent({ row, column, width, model, trans }: ICellProps): ReactElement | null {
  const { run } = row;
  switch (column.kind) {
    case 'metric':
      return <Metric run={run} name={column.key} width={width} model={model} />;
    case 'param': {
      const value = run.params[column.key];
      return value === undefined ? null : <Clip text={value} />;
    }
    case 'data': {
      const md5 = run.inputs.find(input => input.path === column.key)?.md5;
      return md5 ? (
        <Clip className="nbl-mono" text={md5.slice(0, 8)} title={md5} />
      ) : isForeign(run) ? (
        <Unknown trans={trans} />
      ) : null;
    }
    case 'fixed':
      return <Fixed row={row} id={column.key} model={model} trans={trans} />;
  }
}

interface IFixedProps {
  readonly row: IRow;
  readonly id: string;
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}

function Fixed({ row, id, model, trans }: IFixedProps): ReactElement | null {
  const { run } = row;
  switch (id) {
    case 'status':
      return <StatusMark status={run.status} trans={trans} />;
    case 'name':
      return <Name row={row} model={model} trans={trans} />;
    case 'started':
      return run.start ? (
        <span title={`${moment(run.start)} (${ago(run.start, trans)})`}>{time(run.start)}</span>
      ) : null;
    case 'took':
      return <Took run={run} />;
    case 'user':
      return <Person run={run} model={model} trans={trans} />;
    case 'notebook':
      return run.notebook ? (
        <PathText path={run.notebook} />
      ) : isForeign(run) ? (
        <Unknown trans={trans} />
      ) : null;
    default:
      return <Clip text={run.experiment} />;
  }
}

/** Who made the run; in the title with the login, the machine and the branch. */
export function Person({ run, model, trans }: Omit<INameProps, 'row'> & IOf): ReactElement {
  if (run.user === null) {
    return <Unknown trans={trans} />;
  }
  const login = run.tags['mlflow.user'];
  const where = [
    run.user,
    login && login !== run.user ? trans.__('login %1', login) : '',
    run.host ? trans.__('machine %1', run.host) : '',
    run.branch ? trans.__('branch %1', run.branch) : ''
  ];
  const label = model.catalogue.people.label(personKey(run.user));
  return <Clip className="nbl-person" text={label} title={where.filter(Boolean).join('\n')} />;
}

/** What stands where nobody recorded anything: an empty cell would read as "none". */
function Unknown({ trans }: { readonly trans: TranslationBundle }): ReactElement {
  return (
    <span className="nbl-quiet" title={trans.__('not known')}>
      <span aria-hidden="true">?</span>
      <span className="nbl-visually-hidden">{trans.__('not known')}</span>
    </span>
  );
}

interface IOf {
  readonly run: IRun;
}

interface INameProps {
  readonly row: IRow;
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}

function Name({ row, model, trans }: INameProps): ReactElement {
  const { run, depth, children, open } = row;
  const original = reproduced(run, model);
  const verdict = run.tags[VERDICT];
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <span className="nbl-run-name" style={{ paddingLeft: 14 * Math.min(depth, 5) }}>
      {children > 0 && (
        <span
          className="nbl-caret"
          data-toggle="true"
          title={trans._n('%1 child', '%1 children', children)}
        >
          <Caret.react tag="span" aria-hidden="true" />
        </span>
      )}
      <Clip text={nameOf(run)} />
      {children > 0 && <span className="nbl-quiet">{children}</span>}
      {isForeign(run) && (
        <span className="nbl-chip" title={recordedBy(run, trans)}>
          MLflow
        </span>
      )}
      {waits(run) && (
        <span
          className="nbl-chip"
          title={trans.__('recorded here; published when the tracking server answers')}
        >
          {trans.__('waits')}
        </span>
      )}
      {original !== null && (
        <span className="nbl-chip" title={trans.__('reproduction of %1', original)}>
          ↻<span className="nbl-visually-hidden">{trans.__('reproduction of %1', original)}</span>
          {verdict && <Clip text={verdict} />}
        </span>
      )}
    </span>
  );
}

/** How long a run took; of a running one how long it has been running, by the second. */
export function Took({ run }: { readonly run: IRun }): ReactElement {
  const now = useNow(run.status === 'RUNNING' ? 1_000 : null);
  const ms = took(run, Math.max(now, Date.parse(run.start ?? '') || 0));
  return <span>{ms === null ? '' : duration(ms)}</span>;
}

interface IMetricProps {
  readonly run: IRun;
  readonly name: string;
  readonly width: number;
  readonly model: RunsModel;
}

const ROOM_FOR_CURVE = 110;

function Metric({ run, name, width, model }: IMetricProps): ReactElement | null {
  const value = run.metrics[name];
  const wide = width >= ROOM_FOR_CURVE && value !== undefined;
  useEffect(() => (wide ? model.series.show(run, name) : undefined), [model, run, name, wide]);
  if (value === undefined) {
    return null;
  }
  const points = wide ? model.series.points(run.run_id, name) : [];
  return (
    <>
      {points.length > 1 && (
        <Sparkline
          points={points}
          label={told(name, points)}
          live={run.status === 'RUNNING'}
          width={Math.min(width - 86, 90)}
        />
      )}
      <span className="nbl-number" title={String(value)}>
        {number(value)}
      </span>
    </>
  );
}
