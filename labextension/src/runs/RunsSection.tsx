import { notebookIcon, ReactWidget, tableRowsIcon } from '@jupyterlab/ui-components';
import { useVirtualizer } from '@tanstack/react-virtual';
import type { Message } from '@lumino/messaging';
import type { TranslationBundle } from '@jupyterlab/translation';
import { useEffect, useId, useMemo, useRef, type KeyboardEvent, type ReactElement } from 'react';

import { Commands, Ids } from '../names';
import { ago, number } from '../shared/format';
import { useChanges } from '../shared/hooks';
import { IconButton } from '../shared/parts';
import { Clip } from '../shared/text';
import { useNow } from './clock';
import { FilterBox } from './FilterBox';
import { useModel } from './hooks';
import { handleClick, handleKey } from './keys';
import { openRunMenu } from './menus';
import type { RunsModel } from './model/model';
import type { IRow } from './model/tree';
import { Notice, Nothing } from './Nothing';
import { CompareButton, type IRunsProps } from './RunsPanel';
import { MineSwitch } from './ScopeSwitch';
import { StatusMark } from './StatusMark';
import { Person, Took } from './table/Cell';
import { nameOf, reproduced, summary, waits } from './texts';

const HEIGHT = 42;
const FACTS = 2;

/** The runs in the sidebar, as much of each as fits into 240 pixels. */
export class RunsSection extends ReactWidget {
  constructor(private readonly props: IRunsProps) {
    super();
    this.id = Ids.runs;
    this.addClass('nbl-runs-section');
    this.title.label = props.model.ledger.trans.__('Runs');
  }

  protected override render(): ReactElement {
    return <Section {...this.props} />;
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    this.node.querySelector<HTMLElement>('.nbl-run-list')?.focus();
  }
}

function Section({ model, commands }: IRunsProps): ReactElement {
  useModel(model);
  useChanges(model.ledger.state.changed);
  const { trans, notebook } = model.ledger;
  const { scope } = model.settings;
  const some = model.answer.rows.length > 0;
  return (
    <>
      <div className="nbl-runs-bar" role="toolbar" aria-label={trans.__('Runs')}>
        <FilterBox model={model} trans={trans} />
        <IconButton
          icon={notebookIcon}
          label={trans.__('Only runs of this notebook')}
          pressed={scope.thisNotebook}
          disabled={notebook === null && !scope.thisNotebook}
          onClick={() => {
            model.scope({ ...scope, thisNotebook: !scope.thisNotebook });
          }}
        />
        <IconButton
          icon={tableRowsIcon}
          label={trans.__('Open the table of runs')}
          onClick={() => {
            void commands.execute(Commands.openRuns);
          }}
        />
      </div>
      <MineSwitch model={model} trans={trans} />
      <Notice model={model} trans={trans} />
      {some ? (
        <List model={model} commands={commands} />
      ) : (
        <div className="nbl-nothing">
          <Nothing commands={commands} model={model} trans={trans} />
        </div>
      )}
      {some && (
        <div className="nbl-runs-foot">
          <span role="status">{summary(model, trans)}</span>
          {model.selection.ids.size > 0 && (
            <CompareButton selected={model.selected} model={model} commands={commands} />
          )}
        </div>
      )}
    </>
  );
}

function List({ model, commands }: IRunsProps): ReactElement {
  const { trans } = model.ledger;
  const place = useRef<HTMLDivElement>(null);
  const id = useId();
  const now = useNow(30_000);
  const { rows, place: places } = model.answer;
  const lines = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    estimateSize: () => HEIGHT,
    overscan: 8
  });
  const { cursor } = model.selection;
  const at = cursor === null ? undefined : places.get(cursor);
  const seen = useRef(cursor);
  useEffect(() => {
    if (seen.current !== cursor && at !== undefined) {
      lines.scrollToIndex(at, { align: 'auto' });
    }
    seen.current = cursor;
  });
  const open = (run: string): void => {
    void commands.execute(Commands.openRun, { run });
  };
  const onKeyDown = (event: KeyboardEvent<HTMLDivElement>): void => {
    const page = Math.max(1, Math.floor((place.current?.clientHeight ?? 0) / HEIGHT) - 1);
    if (event.key === 'ContextMenu' || (event.shiftKey && event.key === 'F10')) {
      const box = document.getElementById(`${id}-${cursor ?? ''}`)?.getBoundingClientRect();
      if (cursor !== null && box) {
        openRunMenu(commands, model, cursor, { x: box.left + 20, y: box.bottom });
      }
    } else if (!handleKey(event, model, page, open)) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };
  const metrics = telling(model, 'metric');
  const params = telling(model, 'param');
  const repeated = useMemo(() => namesAgain(rows), [rows]);
  return (
    <div
      ref={place}
      className="nbl-run-list"
      role="listbox"
      tabIndex={0}
      aria-multiselectable="true"
      aria-label={trans.__('Runs')}
      aria-activedescendant={at === undefined ? undefined : `${id}-${cursor ?? ''}`}
      onKeyDown={onKeyDown}
    >
      <div role="presentation" className="nbl-grid-body" style={{ height: rows.length * HEIGHT }}>
        {lines.getVirtualItems().map(({ index }) => {
          const row = rows[index];
          return row ? (
            <div
              key={row.run.run_id}
              id={`${id}-${row.run.run_id}`}
              role="option"
              aria-selected={model.selection.ids.has(row.run.run_id)}
              aria-setsize={rows.length}
              aria-posinset={index + 1}
              data-run={row.run.run_id}
              className={`nbl-run-item${index === at ? ' nbl-mod-cursor' : ''}`}
              style={{ transform: `translateY(${index * HEIGHT}px)`, height: HEIGHT }}
              onClick={event => {
                handleClick(event, model, row.run.run_id, false);
              }}
              onDoubleClick={() => {
                open(row.run.run_id);
              }}
              onContextMenu={event => {
                event.preventDefault();
                event.stopPropagation();
                openRunMenu(commands, model, row.run.run_id, {
                  x: event.clientX,
                  y: event.clientY
                });
              }}
            >
              <Item
                row={row}
                metrics={metrics}
                params={repeated.has(nameOf(row.run)) ? params : []}
                model={model}
                now={now}
                trans={trans}
              />
            </div>
          ) : null;
        })}
      </div>
    </div>
  );
}

interface IItemProps {
  readonly row: IRow;
  readonly metrics: readonly string[];
  /** Parameters by which it is told from others of its name. */
  readonly params: readonly string[];
  readonly model: RunsModel;
  readonly now: number;
  readonly trans: TranslationBundle;
}

function Item({ row, metrics, params, model, now, trans }: IItemProps): ReactElement {
  const { run, depth } = row;
  const original = reproduced(run, model);
  const known = [...metrics, ...Object.keys(run.metrics)].filter(key => key in run.metrics);
  const facts = [
    ...params
      .filter(key => key in run.params)
      .slice(0, 1)
      .map(key => [key, run.params[key] ?? ''] as const),
    ...[...new Set(known)].map(key => [key, number(run.metrics[key])] as const)
  ].filter(([, value]) => value !== '');
  const several = model.catalogue.people.size > 1;
  const indent = { marginLeft: 12 * Math.min(depth, 3) };
  return (
    <>
      <span className="nbl-run-line" style={indent}>
        <StatusMark status={run.status} trans={trans} bare />
        <Clip text={nameOf(run)} className="nbl-run-title" />
        {original !== null && (
          <span className="nbl-quiet" title={trans.__('reproduction of %1', original)}>
            ↻<span className="nbl-visually-hidden">{trans.__('reproduction of %1', original)}</span>
          </span>
        )}
        {waits(run) && (
          <span className="nbl-chip" title={trans.__('waits to be published')}>
            {trans.__('waits')}
          </span>
        )}
        <span className="nbl-quiet nbl-run-when">
          {run.status === 'RUNNING' ? <Took run={run} /> : ago(run.start, trans, new Date(now))}
        </span>
      </span>
      <span className="nbl-run-line nbl-run-metrics" style={indent}>
        {several && <Person run={run} model={model} trans={trans} />}
        {facts.slice(0, several ? FACTS - 1 : FACTS).map(([key, value], at) => (
          <span key={at} className="nbl-run-metric">
            <Clip text={key} className="nbl-quiet" />
            <Clip text={value} className="nbl-number" />
          </span>
        ))}
      </span>
    </>
  );
}

/** The metrics of most runs (or parameters), those that are not the same everywhere first; parameters that are say nothing. */
function telling(model: RunsModel, kind: 'metric' | 'param'): readonly string[] {
  const all = model.catalogue.list(kind);
  const varying = all.filter(column => model.catalogue.varies(column));
  const chosen = kind === 'metric' ? [...varying, ...all].slice(0, FACTS) : varying;
  return chosen.map(column => column.key);
}

/** Names that more than one of the rows bears. */
function namesAgain(rows: readonly IRow[]): ReadonlySet<string> {
  const seen = new Set<string>();
  const again = new Set<string>();
  for (const { run } of rows) {
    const name = nameOf(run);
    (seen.has(name) ? again : seen).add(name);
  }
  return again;
}
