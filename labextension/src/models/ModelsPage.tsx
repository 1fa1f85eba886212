import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ISignal } from '@lumino/signaling';
import { useEffect, useRef, useState, type ReactElement } from 'react';

import type { IModel, IModels, IModelVersion } from '../api/types';
import { Listing } from '../detail/Listing';
import { Lead } from '../detail/pieces';
import { Commands } from '../names';
import { moment, number, time } from '../shared/format';
import { useChanges, useLive } from '../shared/hooks';
import type { Kept } from '../shared/kept';
import { Busy, Empty, Problem } from '../shared/parts';
import { Bdi, Clip } from '../shared/text';
import type { ILedger } from '../tokens';
import { foremost, newestFirst } from './gate';
import { Lineage } from './Lineage';
import { Aliases, Gate, NoRepository, useNoRepository } from './parts';

/** What somebody asked to see. */
export interface IWanted {
  model: string | null;
  version: string | null;
}

export interface IModelsView {
  readonly ledger: ILedger;
  readonly models: Kept<IModels>;
  readonly commands: CommandRegistry;
  readonly wanted: IWanted;
  readonly wantedChanged: ISignal<unknown, void>;
}

/** So few models are open from the start. */
const FEW = 3;

export function ModelsPage(view: IModelsView): ReactElement {
  const { value, problem } = useLive(view.models);
  const nothing = useNoRepository(view.ledger);
  useChanges(view.wantedChanged);
  const [filter, setFilter] = useState('');
  const { trans } = view.ledger;
  const again = () => void view.models.refresh();
  if (nothing) {
    return <NoRepository ledger={view.ledger} commands={view.commands} />;
  }
  if (!value) {
    return problem ? (
      <Problem problem={problem} trans={trans} retry={again} />
    ) : (
      <Busy text={trans.__('Fetching the models…')} />
    );
  }
  const word = filter.trim().toLowerCase();
  const shown = value.models.filter(model => model.name.toLowerCase().includes(word));
  return (
    <>
      <h2>{trans.__('Registered models')}</h2>
      {problem ? <Problem problem={problem} trans={trans} retry={again} /> : null}
      {value.models.length ? null : <NoModels view={view} />}
      {value.notes.map(note => (
        <p key={note} className="nbl-detail-said">
          <Bdi text={note} />
        </p>
      ))}
      {value.models.length > FEW ? (
        <input
          type="search"
          className="jp-mod-styled nbl-detail-filter"
          placeholder={trans.__('Filter')}
          aria-label={trans.__('Filter the models')}
          value={filter}
          onChange={event => {
            setFilter(event.target.value);
          }}
        />
      ) : null}
      {shown.slice(0, 500).map(model => (
        <Model
          key={`${model.name} ${view.wanted.model === model.name ? (view.wanted.version ?? '') : ''}`}
          model={model}
          few={value.models.length <= FEW}
          view={view}
        />
      ))}
      {shown.length > 500 ? <p>{trans.__('… and %1 more', shown.length - 500)}</p> : null}
    </>
  );
}

export function NoModels({ view }: { view: Pick<IModelsView, 'ledger'> }): ReactElement {
  const { trans } = view.ledger;
  return (
    <Empty
      text={trans.__(
        'No model is registered yet. A run whose cell begins with %%%%mlrun NAME --model VAR logs a model; Promote on its page registers it.'
      )}
    />
  );
}

function Model(props: { model: IModel; few: boolean; view: IModelsView }): ReactElement {
  const { model, few, view } = props;
  const { trans } = view.ledger;
  const wanted = view.wanted.model === model.name;
  const [open, setOpen] = useState(few || wanted);
  const [chosen, setChosen] = useState(wanted ? view.wanted.version : null);
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    if (wanted) {
      place.current?.scrollIntoView({ block: 'start' });
    }
  }, [wanted]);
  const version =
    model.versions.find(other => other.version === chosen) ?? foremost(model.versions);
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <section ref={place} className="nbl-models-model">
      <h3>
        <button
          type="button"
          className="nbl-detail-fold"
          aria-expanded={open}
          onClick={() => {
            setOpen(!open);
          }}
        >
          <Caret.react tag="span" aria-hidden="true" />
          <Clip text={model.name} />
        </button>
        <span className="nbl-detail-count">
          {trans._n('%1 version', '%1 versions', model.versions.length)}
        </span>
        <Aliases names={Object.keys(model.aliases)} />
      </h3>
      {open ? (
        <>
          {model.description ? (
            <p className="nbl-detail-noted" tabIndex={0}>
              <Bdi text={model.description} />
            </p>
          ) : null}
          <Versions model={model} chosen={version ?? null} choose={setChosen} view={view} />
          {version ? (
            <Lineage
              version={version}
              commands={view.commands}
              openNotebook={path => {
                const where = view.ledger.contentsPath(path);
                if (where !== null) {
                  void view.commands.execute('docmanager:open', { path: where });
                }
              }}
              trans={trans}
            />
          ) : null}
        </>
      ) : null}
    </section>
  );
}

function Versions(props: {
  model: IModel;
  chosen: IModelVersion | null;
  choose: (version: string) => void;
  view: IModelsView;
}): ReactElement {
  const { model, chosen, choose, view } = props;
  const { trans } = view.ledger;
  if (!model.versions.length) {
    return <p className="nbl-detail-said">{trans.__('It has no version.')}</p>;
  }
  return (
    <Listing
      label={trans.__('Versions of %1', model.name)}
      rows={newestFirst(model.versions)}
      id={version => version.version}
      words={version => `${version.version} ${version.run_name} ${version.aliases.join(' ')}`}
      most={20}
      trans={trans}
      columns={[
        {
          name: trans.__('version'),
          cell: version => (
            <label className="nbl-models-choice">
              <input
                type="radio"
                name={`version of ${model.name}`}
                checked={version.version === chosen?.version}
                aria-label={trans.__('Show where version %1 comes from', version.version)}
                onChange={() => {
                  choose(version.version);
                }}
              />
              <Clip text={version.version} />
            </label>
          )
        },
        { name: trans.__('aliases'), cell: version => <Aliases names={version.aliases} /> },
        { name: trans.__('gate'), cell: version => <Gate version={version} trans={trans} /> },
        {
          name: trans.__('run'),
          cell: version => {
            const run = version.run_id;
            return run ? (
              <Lead
                text={version.run_name || run}
                onClick={() => {
                  void view.commands.execute(Commands.openRun, { run });
                }}
              />
            ) : (
              trans.__('unknown')
            );
          }
        },
        {
          name: trans.__('metrics'),
          cell: version => (
            <Clip
              text={Object.entries(version.metrics)
                .slice(0, 4)
                .map(([name, value]) => `${name} ${number(value)}`)
                .join(', ')}
            />
          )
        },
        {
          name: trans.__('registered'),
          cell: version => <span title={moment(version.created)}>{time(version.created)}</span>
        }
      ]}
    />
  );
}
