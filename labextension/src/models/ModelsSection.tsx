import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { IModel } from '../api/types';
import { Chip } from '../detail/pieces';
import { Commands } from '../names';
import { useLive } from '../shared/hooks';
import { Busy, Problem, TextButton } from '../shared/parts';
import { Clip } from '../shared/text';
import { newestDrift } from './Drift';
import { foremost } from './gate';
import { NoModels, type IModelsView } from './ModelsPage';
import { of, type IOverview } from './overview';
import { Aliases, Gate, NoRepository, useNoRepository, Waits, versionCount } from './parts';
import { Health } from './Serving';

const MOST = 50;

/** The models in the sidebar: a line each. */
export function ModelsSection(view: IModelsView): ReactElement {
  const { value, problem } = useLive(view.models);
  const nothing = useNoRepository(view.ledger);
  const { trans } = view.ledger;
  if (nothing) {
    return <NoRepository ledger={view.ledger} commands={view.commands} />;
  }
  if (!value) {
    return problem ? (
      <Problem problem={problem} trans={trans} retry={() => void view.models.refresh()} />
    ) : (
      <Busy text={trans.__('Fetching the models…')} />
    );
  }
  if (!value.models.length) {
    return <NoModels view={view} />;
  }
  const open = (model?: string) => {
    void view.commands.execute(Commands.openModels, model === undefined ? {} : { model });
  };
  return (
    <>
      {problem ? <Problem problem={problem} trans={trans} /> : null}
      <ul className="nbl-side-list">
        {value.models.slice(0, MOST).map(model => {
          const first = foremost(model.versions);
          return (
            <li key={model.name}>
              <button
                type="button"
                className="nbl-side-row"
                onClick={() => {
                  open(model.name);
                }}
              >
                <span className="nbl-side-name">
                  <Clip text={model.name} />
                  <span className="nbl-detail-count">
                    {versionCount(model.versions.length, trans)}
                  </span>
                </span>
                <span className="nbl-side-more">
                  {Object.keys(model.aliases).length ? (
                    <Aliases
                      names={Object.entries(model.aliases).map(
                        ([alias, version]) => `${alias} → ${version}`
                      )}
                    />
                  ) : (
                    <span className="nbl-models-none">{trans.__('no alias')}</span>
                  )}
                  {first ? <Gate version={first} trans={trans} /> : null}
                  <Going model={model} overview={value} trans={trans} />
                </span>
              </button>
            </li>
          );
        })}
      </ul>
      <div className="nbl-side-foot">
        {value.models.length > MOST ? (
          <span>{trans.__('… and %1 more', value.models.length - MOST)}</span>
        ) : null}
        <TextButton
          kind="minimal"
          label={trans.__('Open models')}
          onClick={() => {
            open();
          }}
        />
      </div>
    </>
  );
}

/** What goes on with a model, where something does: approvals, serving, drift. */
function Going(props: {
  model: IModel;
  overview: IOverview;
  trans: TranslationBundle;
}): ReactElement {
  const { model, overview, trans } = props;
  const { waiting, serving } = of(overview, model.name);
  const drift = newestDrift(model);
  return (
    <>
      <Waits count={waiting.length} trans={trans} />
      {serving.slice(0, 3).map(one => (
        <span key={one.url} className="nbl-models-going">
          {trans.__('served at %1', one.port)}
          <Health one={one} trans={trans} />
        </span>
      ))}
      {drift?.verdict === 'drift' ? <Chip text={trans.__('drifted')} mood="bad" /> : null}
    </>
  );
}
