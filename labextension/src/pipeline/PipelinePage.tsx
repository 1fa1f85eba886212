import type { CommandRegistry } from '@lumino/commands';
import type { ISignal } from '@lumino/signaling';
import { useEffect, useMemo, useState, type ReactElement, type ReactNode } from 'react';

import type { IPipeline, IPipelineNode } from '../api/types';
import { Listing } from '../detail/Listing';
import { Chip, Lead } from '../detail/pieces';
import { NoRepository, useNoRepository } from '../models/parts';
import { Commands } from '../names';
import { useChanges, useLive } from '../shared/hooks';
import type { Kept } from '../shared/kept';
import { Busy, Empty, Problem, TextButton } from '../shared/parts';
import { Bdi, Clip, cut } from '../shared/text';
import type { ILedger } from '../tokens';
import { Canvas, staleWord } from './Canvas';
import { inOrder, stagesOnly } from './graph';

export interface IWanted {
  stage: string | null;
}

export interface IPipelineView {
  readonly ledger: ILedger;
  readonly pipeline: Kept<IPipeline>;
  readonly commands: CommandRegistry;
  readonly wanted: IWanted;
  readonly wantedChanged: ISignal<unknown, void>;
}

/** With more nodes files are left out of the graph, and with more stages there is only the table. */
const MANY = 60;
const TOO_MANY = 1_000;

export function PipelinePage(view: IPipelineView): ReactElement {
  const { value, problem } = useLive(view.pipeline);
  const nothing = useNoRepository(view.ledger);
  const { trans } = view.ledger;
  const again = () => void view.pipeline.refresh();
  if (nothing) {
    return <NoRepository ledger={view.ledger} commands={view.commands} />;
  }
  if (!value) {
    return problem ? (
      <Problem problem={problem} trans={trans} retry={again} />
    ) : (
      <Busy text={trans.__('Looking at the pipeline…')} />
    );
  }
  return (
    <>
      {problem ? <Problem problem={problem} trans={trans} retry={again} /> : null}
      <Problems pipeline={value} view={view} />
      {value.nodes.length ? <Known pipeline={value} view={view} /> : <NoPipeline view={view} />}
    </>
  );
}

export function NoPipeline({ view }: { view: Pick<IPipelineView, 'ledger'> }): ReactElement {
  const { trans } = view.ledger;
  return (
    <Empty
      text={trans.__(
        'No pipeline yet. A file dvc.yaml lists stages: commands with what they read and write. DVC runs again only those whose inputs changed. Write one, or let “dvc stage add” do it, and it shows here.'
      )}
    />
  );
}

export function Problems({
  pipeline,
  view
}: {
  pipeline: IPipeline;
  view: Pick<IPipelineView, 'ledger'>;
}): ReactElement | null {
  return pipeline.problems.length ? (
    <ul className="nbl-detail-warnings" aria-label={view.ledger.trans.__('Problems')}>
      {pipeline.problems.slice(0, 20).map((line, at) => (
        <li key={at}>
          <Bdi text={line} />
        </li>
      ))}
    </ul>
  ) : null;
}

function Known({ pipeline, view }: { pipeline: IPipeline; view: IPipelineView }): ReactElement {
  const { trans } = view.ledger;
  useChanges(view.wantedChanged);
  const stages = useMemo(() => inOrder(pipeline), [pipeline]);
  const stale = stages.filter(stage => stage.stale).length;
  const after = stages.filter(stage => stage.may_run).length;
  const drawable = stages.length <= TOO_MANY;
  const [chosen, setFiles] = useState<boolean | null>(null);
  const files = chosen ?? pipeline.nodes.length <= MANY;
  const [wanted, setTable] = useState(false);
  const table = wanted || !drawable;
  const [selected, setSelected] = useState(view.wanted.stage);
  const graph = useMemo(() => (files ? pipeline : stagesOnly(pipeline)), [pipeline, files]);
  useEffect(() => {
    if (view.wanted.stage !== null) {
      setSelected(view.wanted.stage);
    }
  }, [view.wanted.stage]);
  const node = pipeline.nodes.find(other => other.id === selected) ?? null;
  return (
    <>
      <div className="nbl-pipeline-bar">
        <h2>{trans.__('Pipeline')}</h2>
        <span className="nbl-detail-count">
          {trans._n('%1 stage', '%1 stages', stages.length)}
          {', '}
          {stale ? trans._n('%1 stale', '%1 stale', stale) : trans.__('all up to date')}
          {after ? `, ${trans._n('%1 may run after', '%1 may run after', after)}` : ''}
        </span>
        <Switch label={trans.__('files')} on={files} set={setFiles} disabled={table} />
        <Switch label={trans.__('as a table')} on={table} set={setTable} disabled={!drawable} />
      </div>
      {table ? (
        <div className="nbl-pipeline-table">
          <Table stages={stages} view={view} />
        </div>
      ) : (
        <div className="nbl-pipeline-both">
          <Canvas graph={graph} selected={selected} select={setSelected} trans={trans} />
          <Details node={node} pipeline={pipeline} view={view} />
        </div>
      )}
    </>
  );
}

function Switch(props: {
  label: string;
  on: boolean;
  set: (on: boolean) => void;
  disabled: boolean;
}): ReactElement {
  return (
    <label className="nbl-detail-switch">
      <input
        type="checkbox"
        checked={props.on}
        disabled={props.disabled}
        onChange={event => {
          props.set(event.target.checked);
        }}
      />
      {props.label}
    </label>
  );
}

function Table(props: { stages: readonly IPipelineNode[]; view: IPipelineView }): ReactElement {
  const { trans } = props.view.ledger;
  const listed = (words: readonly string[]) => (
    <Clip text={words.slice(0, 20).join(', ')} title={words.slice(0, 40).join('\n')} />
  );
  return (
    <Listing
      label={trans.__('Stages')}
      rows={props.stages}
      id={stage => stage.id}
      words={stage => `${stage.label} ${stage.cmd}`}
      most={200}
      trans={trans}
      columns={[
        { name: trans.__('stage'), cell: stage => <Clip text={stage.label} /> },
        { name: trans.__('state'), cell: stage => <State node={stage} view={props.view} /> },
        { name: trans.__('why'), cell: stage => <Bdi text={stage.why.slice(0, 5).join('; ')} /> },
        { name: trans.__('reads'), cell: stage => listed(stage.deps) },
        { name: trans.__('writes'), cell: stage => listed(stage.outs) },
        { name: trans.__('command'), cell: stage => <Clip text={stage.cmd} /> },
        { name: trans.__('file'), cell: stage => <Clip text={stage.file} /> }
      ]}
    />
  );
}

export function State(props: {
  node: IPipelineNode;
  view: Pick<IPipelineView, 'ledger'>;
}): ReactElement {
  const { trans } = props.view.ledger;
  return props.node.stale || props.node.may_run ? (
    <Chip text={staleWord(props.node, trans)} mood="warn" />
  ) : (
    <Chip text={trans.__('up to date')} mood="good" />
  );
}

function Details({
  node,
  pipeline,
  view
}: {
  node: IPipelineNode | null;
  pipeline: IPipeline;
  view: IPipelineView;
}): ReactElement {
  const { trans } = view.ledger;
  if (!node) {
    return (
      <aside className="nbl-pipeline-details" aria-label={trans.__('Details')} tabIndex={0}>
        <p className="nbl-detail-said">{trans.__('Choose a stage to see what it does.')}</p>
      </aside>
    );
  }
  const where = node.file ? view.ledger.contentsPath(node.file) : null;
  return (
    <aside className="nbl-pipeline-details" aria-label={trans.__('Details')} tabIndex={0}>
      <h3>
        <Clip text={node.label} />
        {node.kind === 'stage' || node.stale ? <State node={node} view={view} /> : null}
      </h3>
      <List title={trans.__('Why')} items={node.why} />
      {node.cmd ? (
        <Entry title={trans.__('Command')}>
          <pre tabIndex={0}>{cut(node.cmd, 20_000)}</pre>
        </Entry>
      ) : null}
      {node.kind === 'data' ? <Uses node={node} pipeline={pipeline} view={view} /> : null}
      <List title={trans.__('Reads')} items={node.deps} />
      <List title={trans.__('Writes')} items={node.outs} />
      <List title={trans.__('Parameters')} items={node.params} />
      <List title={trans.__('Metrics')} items={node.metrics} />
      {node.notebook ? (
        <Entry title={trans.__('Code in')}>
          <Lead
            text={node.notebook}
            onClick={() => {
              openCells(view, node);
            }}
          />
        </Entry>
      ) : null}
      {node.file ? (
        <Entry title={trans.__('Written in')}>
          {where === null ? (
            <Clip text={node.file} />
          ) : (
            <Lead
              text={node.file}
              onClick={() => {
                void view.commands.execute('docmanager:open', { path: where });
              }}
            />
          )}
        </Entry>
      ) : null}
    </aside>
  );
}

/** Open the notebook of a stage, at its first cell. */
export function openCells(
  view: Pick<IPipelineView, 'ledger' | 'commands'>,
  { notebook, cell }: Pick<IPipelineNode, 'notebook' | 'cell'>
): void {
  const path = view.ledger.contentsPath(notebook);
  if (path === null) {
    return;
  }
  void view.commands.execute('docmanager:open', { path }).then((opened: unknown) => {
    if (cell) {
      (opened as { setFragment?: (fragment: string) => void } | undefined)?.setFragment?.(
        `#cell-id=${encodeURIComponent(cell)}`
      );
    }
  });
}

/** Of a file: which stage makes it, which read it, and its versions. */
function Uses(props: {
  node: IPipelineNode;
  pipeline: IPipeline;
  view: IPipelineView;
}): ReactElement {
  const { node, pipeline, view } = props;
  const { trans } = view.ledger;
  const name = (id: string) => pipeline.nodes.find(other => other.id === id)?.label ?? id;
  const makers = pipeline.edges.filter(edge => edge.to === node.id).map(edge => name(edge.from));
  const readers = pipeline.edges.filter(edge => edge.from === node.id).map(edge => name(edge.to));
  return (
    <>
      {makers.length ? null : (
        <p className="nbl-detail-said">{trans.__('No stage makes this file.')}</p>
      )}
      <List title={trans.__('Made by')} items={makers} />
      <List title={trans.__('Read by')} items={readers} />
      <TextButton
        label={trans.__('Show versions')}
        onClick={() => {
          void view.commands.execute(Commands.versions, { path: node.label });
        }}
      />
    </>
  );
}

function List({ title, items }: { title: string; items: readonly string[] }): ReactElement | null {
  return items.length ? (
    <Entry title={title}>
      <ul>
        {items.slice(0, 100).map((item, at) => (
          <li key={at}>
            <Bdi text={item} />
          </li>
        ))}
        {items.length > 100 ? <li>… {items.length - 100}</li> : null}
      </ul>
    </Entry>
  ) : null;
}

function Entry({ title, children }: { title: string; children: ReactNode }): ReactElement {
  return (
    <div className="nbl-pipeline-entry">
      <h4>{title}</h4>
      {children}
    </div>
  );
}
