import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import { Commands } from '../names';
import { Busy, Empty, Problem, TextButton } from '../shared/parts';
import { copied } from '../shared/copy';
import { cut } from '../shared/text';
import type { RunsModel } from './model/model';
import { MINE } from './model/settings';

/** What records a first run. */
export const FIRST_RUN = `%load_ext nbledger

%%mlrun first -p n=3 -m accuracy
accuracy = 0.9  # whatever the cell computes`;

/** What stands in the place of the rows where there are none; null where there are some. */
export function Nothing({
  model,
  commands,
  trans
}: {
  readonly model: RunsModel;
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
}): ReactElement | null {
  const { runs, state } = model.ledger;
  if (model.answer.rows.length > 0) {
    return null;
  }
  if (state.value?.code.repository === false) {
    return (
      <Empty text={trans.__('Runs are kept once this folder is set up.')}>
        <TextButton
          kind="accept"
          label={trans.__('Set up this folder…')}
          onClick={() => {
            void commands.execute(Commands.init);
          }}
        />
      </Empty>
    );
  }
  const problem = runs.problem ?? (state.value ? null : state.problem);
  if (problem && !runs.loaded) {
    return (
      <Problem
        problem={problem}
        trans={trans}
        retry={() => {
          void (state.value ? runs : state).refresh();
        }}
      />
    );
  }
  if (!runs.loaded) {
    return <Busy text={trans.__('Reading runs…')} />;
  }
  if (runs.list.length === 0) {
    return (
      <Empty text={trans.__('No runs yet. Three lines record one:')}>
        <pre className="nbl-first-run">{FIRST_RUN}</pre>
        <TextButton
          label={trans.__('Copy')}
          onClick={() => {
            void copied(FIRST_RUN);
          }}
        />
      </Empty>
    );
  }
  const { thisNotebook, user } = model.settings.scope;
  return (
    <Empty
      text={
        model.search.text.trim()
          ? trans.__('No run matches the filter.')
          : thisNotebook
            ? trans.__('No run of this notebook yet.')
            : user === MINE
              ? trans.__('No runs of yours yet. Others have made some.')
              : trans.__('No runs of %1.', cut(model.catalogue.people.label(user ?? ''), 60))
      }
    >
      <TextButton
        label={trans.__('Show all runs')}
        onClick={() => {
          model.search.type('');
          model.scope({ thisNotebook: false, user: null });
        }}
      />
    </Empty>
  );
}

/** What a look at the rows does not tell: they are not the newest, or some wait to be published. */
export function Notice({
  model,
  trans
}: {
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}): ReactElement | null {
  const { runs, state } = model.ledger;
  const pending = state.value?.tracking.pending ?? 0;
  const away = state.value?.tracking.reachable === false;
  if (runs.problem && runs.loaded) {
    return (
      <Problem
        problem={runs.problem}
        trans={trans}
        retry={() => {
          void runs.refresh();
        }}
      />
    );
  }
  if (!away || pending === 0) {
    return null;
  }
  return (
    <p className="nbl-notice" role="status">
      {trans._n(
        '%1 run waits here until the tracking server answers again.',
        '%1 runs wait here until the tracking server answers again.',
        pending
      )}
    </p>
  );
}
