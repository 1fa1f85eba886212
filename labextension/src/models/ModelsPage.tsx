import type { CommandRegistry } from '@lumino/commands';
import type { ISignal } from '@lumino/signaling';
import { useState, type ReactElement } from 'react';

import { useChanges, useLive } from '../shared/hooks';
import type { Kept } from '../shared/kept';
import { Busy, Empty, Problem } from '../shared/parts';
import { Bdi } from '../shared/text';
import type { ILedger } from '../tokens';
import type { ModelActions } from './actions';
import { Model } from './Model';
import type { IOverview } from './overview';
import { NoRepository, useNoRepository } from './parts';
import type { Shown } from './shown';
import { Work } from './Work';

/** The model that somebody asked to see; null once it was brought into view. */
export interface IWanted {
  model: string | null;
}

export interface IModelsView {
  readonly ledger: ILedger;
  readonly models: Kept<IOverview>;
  readonly actions: ModelActions;
  readonly commands: CommandRegistry;
  readonly shown: Shown;
  /** The failures of work on models that somebody has put away. */
  readonly read: Set<string>;
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
      <Work ledger={view.ledger} read={view.read} />
      {problem ? <Problem problem={problem} trans={trans} retry={again} /> : null}
      {value.problems.map((one, at) => (
        <Problem key={at} problem={one} trans={trans} retry={again} />
      ))}
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
          key={model.name}
          model={model}
          overview={value}
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
