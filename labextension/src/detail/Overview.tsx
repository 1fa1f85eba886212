import { useState, type ReactElement } from 'react';

import type { ISeriesPoint, Num } from '../api/types';
import { Commands } from '../names';
import { Curves, Sparkline } from '../shared/charts';
import { number } from '../shared/format';
import { TextButton } from '../shared/parts';
import { Bdi, Clip, cut } from '../shared/text';
import { Listing } from './Listing';
import { Note } from './Note';
import { Chip, Part, Said, type IView } from './pieces';
import { reserved } from './tags';

/** So many curves are drawn unasked. */
const CURVES = 8;

export function Overview(view: IView): ReactElement {
  const { detail, trans } = view;
  return (
    <>
      <Unknown {...view} />
      <Metrics {...view} />
      <Part title={trans.__('Parameters')} count={Object.keys(detail.params).length}>
        {Object.keys(detail.params).length ? (
          <Pairs label={trans.__('Parameters')} pairs={detail.params} view={view} />
        ) : (
          <Said>{trans.__('The run recorded no parameter.')}</Said>
        )}
      </Part>
      <Note {...view} />
      <Tags {...view} />
    </>
  );
}

/** What the record says of itself: notices, and what it lacks. */
function Unknown({ detail, trans }: IView): ReactElement | null {
  const groups: readonly (readonly [string, readonly string[]])[] = [
    [trans.__('Said when it ran'), detail.notices],
    [trans.__('Not in the snapshot of the code'), detail.left_out],
    [trans.__('Not recorded'), detail.lacking]
  ];
  const said = groups.filter(([, lines]) => lines.length > 0);
  return said.length ? (
    <Part title={trans.__('What to know')}>
      {said.map(([title, lines]) => (
        <div key={title} className="nbl-detail-known">
          <h4>{title}</h4>
          <ul>
            {lines.slice(0, 50).map((line, at) => (
              <li key={at}>
                <Bdi text={line} />
              </li>
            ))}
            {lines.length > 50 ? <li>{trans.__('… and %1 more', lines.length - 50)}</li> : null}
          </ul>
        </div>
      ))}
    </Part>
  ) : null;
}

function Metrics({ detail, trans }: IView): ReactElement {
  const [all, setAll] = useState(false);
  const rows = Object.entries(detail.run.metrics).map(([name, value]) => ({
    name,
    value,
    points: detail.series[name] ?? []
  }));
  const curves = rows.filter(row => row.points.length > 1);
  const drawn = all ? curves : curves.slice(0, CURVES);
  return (
    <Part title={trans.__('Metrics')} count={rows.length}>
      {rows.length ? (
        <Listing
          label={trans.__('Metrics')}
          rows={rows}
          id={row => row.name}
          words={row => row.name}
          columns={[
            { name: trans.__('metric'), cell: row => <Clip text={row.name} /> },
            { name: trans.__('value'), number: true, cell: row => <Value value={row.value} /> },
            {
              name: trans.__('curve'),
              cell: row => <Spark name={row.name} points={row.points} live={detail.run.status} />
            }
          ]}
          trans={trans}
        />
      ) : (
        <Said>
          {detail.run.status === 'RUNNING'
            ? trans.__('No metric yet.')
            : trans.__('The run recorded no metric.')}
        </Said>
      )}
      {drawn.length ? (
        <div className="nbl-detail-curves">
          {drawn.map(row => (
            <Curves
              key={row.name}
              title={row.name}
              curves={[{ id: detail.run.run_id, name: detail.run.name, points: row.points }]}
              trans={trans}
            />
          ))}
        </div>
      ) : null}
      {drawn.length < curves.length ? (
        <TextButton
          kind="minimal"
          label={trans.__('Draw all %1 curves', curves.length)}
          onClick={() => {
            setAll(true);
          }}
        />
      ) : null}
    </Part>
  );
}

function Value({ value }: { value: Num }): ReactElement {
  return <span title={String(value)}>{number(value)}</span>;
}

function Spark(props: {
  name: string;
  points: readonly ISeriesPoint[];
  live: string;
}): ReactElement | null {
  return props.points.length > 1 ? (
    <Sparkline points={props.points} label={cut(props.name, 60)} live={props.live === 'RUNNING'} />
  ) : null;
}

/** Names and values; a long value may be read whole. */
export function Pairs({
  label,
  pairs,
  view
}: {
  label: string;
  pairs: Readonly<Record<string, string>>;
  view: IView;
}): ReactElement {
  const { trans } = view;
  return (
    <Listing
      label={label}
      rows={Object.entries(pairs)}
      id={([name]) => name}
      words={([name, value]) => `${name} ${value}`}
      columns={[
        { name: trans.__('name'), cell: ([name]) => <Clip text={name} /> },
        { name: trans.__('value'), cell: ([, value]) => <Long text={value} view={view} /> }
      ]}
      trans={trans}
    />
  );
}

function Long({ text, view }: { text: string; view: IView }): ReactElement {
  return text.length <= 120 && !text.includes('\n') ? (
    <Bdi text={text} />
  ) : (
    <details className="nbl-detail-long">
      <summary title={view.trans.__('Show the whole value')}>
        <Bdi text={text.slice(0, 80)} />…
      </summary>
      <pre tabIndex={0}>{cut(text, 20_000)}</pre>
    </details>
  );
}

function Tags(view: IView): ReactElement {
  const { detail, trans, commands } = view;
  const entries = Object.entries(detail.tags);
  const own = entries.filter(([key]) => !reserved(key));
  const others = Object.fromEntries(entries.filter(([key]) => reserved(key)));
  return (
    <Part
      title={trans.__('Tags')}
      count={own.length}
      action={
        detail.deleted ? null : (
          <TextButton
            kind="minimal"
            label={trans.__('Edit tags…')}
            onClick={() => {
              void commands.execute(Commands.editTags, {
                run: detail.run.run_id,
                path: view.model.path
              });
            }}
          />
        )
      }
    >
      {own.length ? (
        <ul className="nbl-detail-chips">
          {own.slice(0, 200).map(([key, value]) => (
            <li key={key}>
              <Chip text={value ? `${key}: ${value}` : key} />
            </li>
          ))}
        </ul>
      ) : (
        <Said>{trans.__('No tags of yours.')}</Said>
      )}
      <details className="nbl-detail-more">
        <summary>
          {trans.__('Tags of MLflow and nbledger (%1)', Object.keys(others).length)}
        </summary>
        <Pairs label={trans.__('Tags of MLflow and nbledger')} pairs={others} view={view} />
      </details>
    </Part>
  );
}
