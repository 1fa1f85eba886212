import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import { useEffect, useRef, type ReactElement } from 'react';

import type { IModel } from '../api/types';
import { TextButton } from '../shared/parts';
import { Bdi, Clip } from '../shared/text';
import { Decisions } from './Decisions';
import { DriftVerdict } from './Drift';
import { foremost } from './gate';
import { Lineage } from './Lineage';
import type { IModelsView } from './ModelsPage';
import { of, type IOverview } from './overview';
import { Origins } from './Origins';
import { Aliases, Waits, versionCount } from './parts';
import { Serving } from './Serving';
import { PARTS, useShown, type IShown, type Part } from './shown';
import { Versions } from './Versions';
import { Waiting } from './Waiting';

/** A registered model: what can be done with it, what goes on, its versions, and the chosen one's story. */
export function Model(props: {
  model: IModel;
  overview: IOverview;
  few: boolean;
  view: IModelsView;
}): ReactElement {
  const { model, overview, few, view } = props;
  const { trans } = view.ledger;
  const [shown, choose] = useShown(view.shown, model.name);
  const open = shown.open ?? few;
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    if (view.wanted.model === model.name) {
      view.wanted.model = null; // once: what comes later moves nothing
      place.current?.scrollIntoView({ block: 'start' });
    }
  });
  const version =
    model.versions.find(other => other.version === shown.version) ?? foremost(model.versions);
  const { waiting, serving } = of(overview, model.name);
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <section ref={place} className="nbl-models-model">
      <h3>
        <button
          type="button"
          className="nbl-detail-fold"
          aria-expanded={open}
          onClick={() => {
            choose({ open: !open });
          }}
        >
          <Caret.react tag="span" aria-hidden="true" />
          <Clip text={model.name} />
        </button>
        <span className="nbl-detail-count">{versionCount(model.versions.length, trans)}</span>
        <Aliases
          names={Object.entries(model.aliases).map(([alias, number]) => `${alias} → ${number}`)}
        />
        <Waits count={waiting.length} trans={trans} />
      </h3>
      {open ? (
        <>
          {model.description ? (
            <p className="nbl-detail-noted" tabIndex={0}>
              <Bdi text={model.description} />
            </p>
          ) : null}
          <Deeds model={model} version={version?.version ?? null} overview={overview} view={view} />
          <Waiting
            waiting={waiting}
            actions={view.actions}
            commands={view.commands}
            trans={trans}
          />
          <Serving serving={serving} actions={view.actions} trans={trans} />
          <DriftVerdict model={model} commands={view.commands} trans={trans} />
          <Versions
            model={model}
            chosen={version ?? null}
            choose={number => {
              choose({ version: number });
            }}
            commands={view.commands}
            trans={trans}
          />
          <Story
            model={model}
            chosen={version?.version ?? null}
            shown={shown}
            choose={choose}
            overview={overview}
            view={view}
          />
        </>
      ) : null}
    </section>
  );
}

/** What can be done with the model, or with the chosen version of it. */
function Deeds(props: {
  model: IModel;
  version: string | null;
  overview: IOverview;
  view: IModelsView;
}): ReactElement {
  const { model, version, overview, view } = props;
  const { ledger, actions } = view;
  const { trans } = ledger;
  const port = of(overview, model.name).serving[0]?.port ?? null;
  const held = Object.keys(model.aliases).length > 0;
  return (
    <div
      className="nbl-models-deeds"
      role="toolbar"
      aria-label={trans.__('Actions: %1', model.name)}
    >
      <TextButton
        label={trans.__('Promote…')}
        title={trans.__('Register a run’s model and point an alias at it, if a gate lets it pass')}
        onClick={() => void actions.promote(ledger.api, null, model.name)}
      />
      <TextButton
        label={trans.__('Roll back…')}
        title={held ? undefined : trans.__('No alias points at anything')}
        disabled={!held}
        onClick={() => void actions.rollback(model)}
      />
      <TextButton
        label={trans.__('Deploy…')}
        title={trans.__('Serve a version on this machine')}
        disabled={version === null}
        onClick={() => {
          if (version !== null) {
            void actions.deploy(model, version, port);
          }
        }}
      />
      <TextButton
        label={trans.__('Drift…')}
        title={trans.__('Compare live data with those that the champion was trained on')}
        disabled={version === null}
        onClick={() => {
          if (version !== null) {
            void actions.drift(model, version);
          }
        }}
      />
    </div>
  );
}

/** Where the chosen version comes from, in steps or as a graph; and what was decided about the model. */
function Story(props: {
  model: IModel;
  chosen: string | null;
  shown: IShown;
  choose: (changes: Partial<IShown>) => void;
  overview: IOverview;
  view: IModelsView;
}): ReactElement | null {
  const { model, chosen, shown, choose, overview, view } = props;
  const { ledger, commands } = view;
  const { trans } = ledger;
  const { part } = shown;
  const version = model.versions.find(other => other.version === chosen);
  const names: Readonly<Record<Part, string>> = {
    origin: trans.__('Version %1', chosen ?? ''),
    graph: trans.__('Lineage'),
    decisions: trans.__('Decisions')
  };
  const openNotebook = (path: string) => {
    const where = ledger.contentsPath(path);
    if (where !== null) {
      void commands.execute('docmanager:open', { path: where });
    }
  };
  if (!version) {
    return null;
  }
  return (
    <div className="nbl-models-story">
      <div className="nbl-models-parts" role="group" aria-label={trans.__('Show')}>
        {PARTS.map(name => (
          <button
            key={name}
            type="button"
            className="nbl-button nbl-mod-minimal"
            aria-pressed={name === part}
            onClick={() => {
              choose({ part: name, version: version.version }); // what is read stays, whatever alias moves
            }}
          >
            {names[name]}
          </button>
        ))}
      </div>
      {part === 'origin' ? (
        <Lineage version={version} commands={commands} openNotebook={openNotebook} trans={trans} />
      ) : null}
      {part === 'graph' ? (
        <Origins
          name={`${model.name}/${version.version}`}
          api={ledger.api}
          again={overview}
          table={shown.table}
          setTable={table => {
            choose({ table });
          }}
          commands={commands}
          openNotebook={openNotebook}
          trans={trans}
        />
      ) : null}
      {part === 'decisions' ? (
        <Decisions
          model={model.name}
          api={ledger.api}
          again={overview}
          commands={commands}
          trans={trans}
        />
      ) : null}
    </div>
  );
}
