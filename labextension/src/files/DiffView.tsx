import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { Api } from '../api/api';
import type { IDataChange, IDiff } from '../api/types';
import { bytes, count } from '../shared/format';
import { useLive } from '../shared/hooks';
import { diffIcon } from '../shared/icons';
import { Live } from '../shared/live';
import { NotebookDiffView } from '../shared/notebookDiff';
import { Busy, Empty, Problem } from '../shared/parts';
import { Bdi, cut, PathText } from '../shared/text';
import type { ILedger } from '../tokens';
import { gutter, type ILine } from './lines';

export interface IDiffOptions {
  readonly ledger: ILedger;
  readonly api: Api;
  readonly rendermime: IRenderMimeRegistry;
  /** Of the project. */
  readonly path: string;
}

/** A file of the work tree beside the last commit. */
export class DiffView extends ReactWidget {
  readonly diff: Live<IDiff>;

  constructor(private readonly options: IDiffOptions) {
    super();
    this.addClass('nbl-diff');
    this.node.tabIndex = 0;
    this.diff = new Live(async () => this.steady(await options.api.diff(options.path)));
    options.ledger.state.changed.connect(this.look);
    void this.diff.refresh();
  }

  override dispose(): void {
    this.options.ledger.state.changed.disconnect(this.look);
    super.dispose();
  }

  override render(): ReactElement {
    return <Page options={this.options} live={this.diff} />;
  }

  /** The same object while nothing changed: a notebook's diff would be drawn anew. */
  private steady(diff: IDiff): IDiff {
    const { value } = this.diff;
    return value && JSON.stringify(value) === JSON.stringify(diff) ? value : diff;
  }

  private readonly look = (): void => {
    if (this.isVisible) {
      void this.diff.refresh();
    }
  };
}

function Page({ options, live }: { options: IDiffOptions; live: Live<IDiff> }): ReactElement {
  const { trans } = options.ledger;
  const { value, problem } = useLive(live);
  if (!value) {
    return problem ? (
      <Problem problem={problem} trans={trans} retry={() => void live.refresh()} />
    ) : (
      <Busy text={trans.__('Comparing…')} />
    );
  }
  return (
    <>
      <h2 className="nbl-diff-title">
        <PathText path={value.path} />
        <span className="nbl-diff-against">{trans.__('against %1', value.against)}</span>
      </h2>
      {value.note ? (
        <p className="nbl-diff-note">
          <Bdi text={value.note} />
        </p>
      ) : null}
      <Body diff={value} options={options} />
    </>
  );
}

function Body({ diff, options }: { diff: IDiff; options: IDiffOptions }): ReactElement | null {
  const { trans } = options.ledger;
  if (diff.notebook) {
    return <NotebookDiffView diff={diff.notebook} rendermime={options.rendermime} trans={trans} />;
  }
  if (diff.data) {
    return <Data change={diff.data} trans={trans} />;
  }
  if (!diff.lines.length) {
    return diff.note ? null : (
      <Empty icon={diffIcon} text={trans.__('It is as in the last commit.')} />
    );
  }
  return <Lines lines={gutter(diff.lines)} cut={diff.cut} trans={trans} />;
}

const WORDS: Readonly<Record<ILine['kind'], string>> = {
  added: 'nbl-mod-added',
  removed: 'nbl-mod-removed',
  hunk: 'nbl-mod-hunk',
  same: ''
};

function Lines({
  lines,
  cut: more,
  trans
}: {
  lines: readonly ILine[];
  cut: boolean;
  trans: TranslationBundle;
}): ReactElement {
  return (
    <>
      <div className="nbl-diff-lines" role="table" aria-label={trans.__('Changed lines')}>
        {lines.map((line, at) => (
          <div key={at} role="row" className={`nbl-diff-line ${WORDS[line.kind]}`}>
            <span role="cell" className="nbl-diff-number">
              {line.before ?? ''}
            </span>
            <span role="cell" className="nbl-diff-number">
              {line.after ?? ''}
            </span>
            <span role="cell" className="nbl-diff-sign">
              {line.sign}
            </span>
            <span role="cell" className="nbl-diff-text">
              <bdi>{cut(line.text, 2000)}</bdi>
            </span>
          </div>
        ))}
      </div>
      {more ? (
        <p className="nbl-diff-note">{trans.__('There is more; this is the beginning of it.')}</p>
      ) : null}
    </>
  );
}

const MOST = 200;

function Data({ change, trans }: { change: IDataChange; trans: TranslationBundle }): ReactElement {
  const { table } = change;
  const [before, after] = change.values;
  return (
    <div className="nbl-diff-data">
      <dl>
        <dt>{trans.__('State')}</dt>
        <dd>{change.state}</dd>
        <dt>{trans.__('Version')}</dt>
        <dd>
          <code>{before?.slice(0, 10) ?? '–'}</code> → <code>{after?.slice(0, 10) ?? '–'}</code>
        </dd>
        <dt>{trans.__('Size')}</dt>
        <dd>
          {bytes(change.sizes[0] ?? null)} → {bytes(change.sizes[1] ?? null)}
        </dd>
        {table ? (
          <>
            <dt>{trans.__('Rows')}</dt>
            <dd>
              {count(table.rows[0])} → {count(table.rows[1])}
              {trans.__(
                ' (%1 added, %2 removed, %3 changed)',
                count(table.added),
                count(table.removed),
                count(table.changed)
              )}
            </dd>
          </>
        ) : null}
      </dl>
      {table?.columns.length ? (
        <table className="nbl-diff-columns">
          <thead>
            <tr>
              <th scope="col">{trans.__('Column')}</th>
              <th scope="col">{trans.__('What')}</th>
            </tr>
          </thead>
          <tbody>
            {table.columns.slice(0, MOST).map(column => (
              <tr key={column.name}>
                <td>
                  <Bdi text={column.name} />
                </td>
                <td>
                  {column.state} <Bdi text={column.what} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      <Rows title={trans.__('Files')} rows={change.files} />
      <Rows title={trans.__('Keys')} rows={change.keys} />
      {change.note ? (
        <p className="nbl-diff-note">
          <Bdi text={change.note} />
        </p>
      ) : null}
    </div>
  );
}

function Rows({ title, rows }: { title: string; rows: IDataChange['files'] }): ReactElement | null {
  return rows.length ? (
    <table className="nbl-diff-columns">
      <thead>
        <tr>
          <th scope="col">{title}</th>
          <th scope="col">{''}</th>
        </tr>
      </thead>
      <tbody>
        {rows.slice(0, MOST).map(({ name, values, note }) => (
          <tr key={name}>
            <td>
              <Bdi text={name} />
            </td>
            <td>
              {values.map(value => cut(value ?? '–', 40)).join(' → ')} {note ?? ''}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  ) : null;
}
