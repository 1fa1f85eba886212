import {
  codeIcon,
  fileIcon,
  inspectorIcon,
  runIcon,
  tableRowsIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { useMemo, useState, type ReactElement, type ReactNode } from 'react';

import type { Api } from '../api/api';
import type { IAncestor, IAncestry } from '../api/types';
import { Listing } from '../detail/Listing';
import { Chip, Hash, Lead, Status } from '../detail/pieces';
import { Commands } from '../names';
import { Canvas, type ICanvasWords } from '../pipeline/Canvas';
import { bytes, moment } from '../shared/format';
import { Busy, Problem } from '../shared/parts';
import { Bdi, Clip, cut } from '../shared/text';
import { useFetched } from './fetched';
import { about, graphOf } from './originGraph';

const ICONS: Readonly<Record<string, LabIcon>> = {
  model: inspectorIcon,
  run: runIcon,
  code: codeIcon,
  stage: tableRowsIcon,
  data: fileIcon
};
/** A graph of more boxes is shown as a table at first. */
const MANY = 150;

interface IWays {
  readonly commands: CommandRegistry;
  readonly openNotebook: (path: string) => void;
  readonly trans: TranslationBundle;
}

/** Whether the graph is shown as a table; null while nobody said which. */
interface ITable {
  readonly table: boolean | null;
  readonly setTable: (table: boolean) => void;
}

/** Everything that a version came from, through all runs before: a graph, or the same as a table. */
export function Origins(
  props: { name: string; api: Pick<Api, 'ancestry'>; again: unknown } & ITable & IWays
): ReactElement {
  const { name, api, trans } = props;
  const { value, problem } = useFetched(name, () => api.ancestry(name), props.again);
  if (value === null) {
    return problem ? (
      <Problem problem={problem} trans={trans} />
    ) : (
      <Busy text={trans.__('Looking where it comes from…')} />
    );
  }
  return (
    <>
      {problem ? <Problem problem={problem} trans={trans} /> : null}
      <Lacks lines={value.missing} label={trans.__('What is missing')} />
      <Known found={value} {...props} />
      {value.notes.slice(0, 10).map((note, at) => (
        <p key={at} className="nbl-models-none">
          <Bdi text={note} />
        </p>
      ))}
    </>
  );
}

function Lacks({ lines, label }: { lines: readonly string[]; label: string }): ReactElement | null {
  return lines.length ? (
    <ul className="nbl-detail-warnings" aria-label={label}>
      {lines.slice(0, 20).map((line, at) => (
        <li key={at}>
          <Bdi text={line} />
        </li>
      ))}
    </ul>
  ) : null;
}

function Known({
  found,
  table,
  setTable,
  ...ways
}: { found: IAncestry } & ITable & IWays): ReactElement {
  const { trans } = ways;
  const asTable = table ?? found.nodes.length > MANY;
  const [selected, setSelected] = useState<string | null>(found.roots[0] ?? null);
  const graph = useMemo(() => graphOf(found), [found]);
  const known = useMemo(() => new Map(found.nodes.map(node => [node.id, node])), [found]);
  const words = useMemo(() => wordsOf(known, trans), [known, trans]);
  const node = (selected === null ? undefined : known.get(selected)) ?? found.nodes[0];
  return (
    <>
      <label className="nbl-detail-switch">
        <input
          type="checkbox"
          checked={asTable}
          onChange={event => {
            setTable(event.target.checked);
          }}
        />
        {trans.__('as a table')}
      </label>
      {asTable ? (
        <Table nodes={found.nodes} trans={trans} />
      ) : (
        <div className="nbl-pipeline-both nbl-origins">
          <Canvas
            graph={graph}
            selected={node?.id ?? null}
            select={setSelected}
            words={words}
            trans={trans}
          />
          <aside className="nbl-pipeline-details" aria-label={trans.__('Details')} tabIndex={0}>
            {node ? <Details node={node} {...ways} /> : null}
          </aside>
        </div>
      )}
    </>
  );
}

function kindWord(kind: string, trans: TranslationBundle): string {
  const words: Readonly<Record<string, string>> = {
    model: trans.__('model version'),
    run: trans.__('run'),
    code: trans.__('code'),
    stage: trans.__('stage'),
    data: trans.__('data')
  };
  return words[kind] ?? kind;
}

function wordsOf(known: ReadonlyMap<string, IAncestor>, trans: TranslationBundle): ICanvasWords {
  const kind = (id: string) => known.get(id)?.kind ?? '';
  const below = (id: string) => {
    const node = known.get(id);
    return node
      ? [node.missing ? trans.__('missing') : '', about(node)].filter(Boolean).join(' · ') ||
          kindWord(node.kind, trans)
      : '';
  };
  return {
    title: trans.__(
      'Where the version comes from, as a graph. Arrow keys go from box to box, shift and arrow keys move the view.'
    ),
    icon: ({ id }) => ICONS[kind(id)] ?? fileIcon,
    kind: ({ id }) => kindWord(kind(id), trans),
    state: ({ id }) => below(id),
    below: ({ id }) => below(id)
  };
}

function Table(props: { nodes: readonly IAncestor[]; trans: TranslationBundle }): ReactElement {
  const { trans } = props;
  return (
    <Listing
      label={trans.__('Where it comes from')}
      rows={props.nodes}
      id={node => node.id}
      words={node => `${node.kind} ${node.label} ${node.md5} ${node.commit} ${node.run_id}`}
      most={50}
      trans={trans}
      columns={[
        { name: trans.__('kind'), cell: node => kindWord(node.kind, trans) },
        { name: trans.__('what'), cell: node => <Clip text={node.label} /> },
        { name: trans.__('id'), cell: node => <code>{cut(about(node), 60)}</code> },
        { name: trans.__('when'), cell: node => (node.at ? moment(node.at) : '') },
        { name: trans.__('by'), cell: node => (node.by ? <Clip text={node.by} /> : '') },
        { name: trans.__('where'), cell: node => <Clip text={node.where.join(', ')} /> },
        ...(props.nodes.some(node => node.missing)
          ? [
              {
                name: trans.__('missing'),
                cell: (node: IAncestor) =>
                  node.missing ? <Chip text={node.missing} mood="bad" /> : ''
              }
            ]
          : [])
      ]}
    />
  );
}

function Details({ node, ...ways }: { node: IAncestor } & IWays): ReactElement {
  const { trans, commands } = ways;
  return (
    <>
      <h3>
        <Clip text={node.label} />
        <span className="nbl-models-none">{kindWord(node.kind, trans)}</span>
      </h3>
      {node.missing ? (
        <p className="nbl-detail-caution">
          <Bdi text={node.missing} />
        </p>
      ) : null}
      <Fact name={trans.__('Run')} on={node.run_id}>
        <Lead
          text={node.run_id.slice(0, 8)}
          title={node.run_id}
          onClick={() => {
            void commands.execute(Commands.openRun, { run: node.run_id });
          }}
        />{' '}
        {node.status ? <Status status={node.status} trans={trans} /> : null}
      </Fact>
      <Fact name={trans.__('Aliases')} on={node.aliases.join(' ')}>
        <Clip text={node.aliases.map(alias => `@${alias}`).join(' ')} />
      </Fact>
      <Fact name={trans.__('Commit')} on={node.commit}>
        <Hash text={node.commit} of={trans.__('the commit')} trans={trans} />
        {node.dirty ? ` ${trans.__('a snapshot: the code differed from the last commit')}` : ''}
      </Fact>
      <Fact name={trans.__('Written in')} on={node.source}>
        {node.source.endsWith('.ipynb') ? (
          <Lead
            text={node.source}
            onClick={() => {
              ways.openNotebook(node.source);
            }}
          />
        ) : (
          <Bdi text={node.source} />
        )}
      </Fact>
      <Fact name={trans.__('Command')} on={node.cmd}>
        <pre tabIndex={0}>{cut(node.cmd, 5_000)}</pre>
      </Fact>
      <Fact name={trans.__('File')} on={node.path}>
        <Lead
          text={node.path}
          title={trans.__('Show the versions of %1', cut(node.path, 200))}
          onClick={() => {
            void commands.execute(Commands.versions, { path: node.path });
          }}
        />
      </Fact>
      <Fact name={trans.__('Version')} on={node.md5}>
        <Hash text={node.md5} of={trans.__('version of %1', node.path)} trans={trans} />{' '}
        {node.size === null ? '' : bytes(node.size)}
      </Fact>
      <Fact name={trans.__('Kept in')} on={node.where.join(', ')}>
        <Bdi text={node.where.join(', ')} />
      </Fact>
      <Fact name={trans.__('When')} on={node.at ?? ''}>
        {moment(node.at)} {node.by ? <Bdi text={node.by} /> : null}
      </Fact>
    </>
  );
}

function Fact(props: { name: string; on: string; children: ReactNode }): ReactElement | null {
  return props.on ? (
    <div className="nbl-pipeline-entry">
      <h4>{props.name}</h4>
      <div>{props.children}</div>
    </div>
  ) : null;
}
