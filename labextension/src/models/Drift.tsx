import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import type { IModel, IModelVersion } from '../api/types';
import { Chip, Lead } from '../detail/pieces';
import { Commands } from '../names';
import { moment, time } from '../shared/format';
import { Clip, cut } from '../shared/text';

const PREFIX = 'nbledger.drift.';

/** What the newest look for drift said of a version, which wrote it there; null where nobody looked. */
export interface IDriftSaid {
  readonly version: string;
  readonly verdict: string;
  readonly at: string | null;
  readonly run: string | null;
  readonly data: string;
  /** The file that it was held against; null: the data of the version, by its lineage. */
  readonly reference: string | null;
}

export function driftOf(version: Pick<IModelVersion, 'version' | 'tags'>): IDriftSaid | null {
  const said = (name: string) => version.tags[PREFIX + name] ?? '';
  const verdict = said('verdict');
  return verdict
    ? {
        version: version.version,
        verdict,
        at: said('at') || null,
        run: said('run_id') || said('run') || null,
        data: said('data'),
        reference: said('how') === 'held against' ? said('reference') : null
      }
    : null;
}

/** The newest of all versions. */
export function newestDrift(model: IModel): IDriftSaid | null {
  return (
    model.versions
      .map(driftOf)
      .filter(one => one !== null)
      .sort((a, b) => (b.at ?? '').localeCompare(a.at ?? ''))[0] ?? null
  );
}

/** The last verdict, and the way to the run that holds its report. */
export function DriftVerdict(props: {
  model: IModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): ReactElement | null {
  const { model, commands, trans } = props;
  const said = newestDrift(model);
  if (!said) {
    return null;
  }
  const run = said.run;
  const drifted = said.verdict === 'drift';
  return (
    <p className="nbl-models-drift">
      <Chip
        text={drifted ? trans.__('drifted') : cut(said.verdict, 40)}
        mood={drifted ? 'bad' : said.verdict === 'no drift' ? 'good' : 'warn'}
      />
      {said.data ? <Clip text={said.data} /> : null}
      {said.reference === null ? (
        <span>{trans.__('against the data of version %1', said.version)}</span>
      ) : (
        <Clip text={trans.__('against %1, for version %2', said.reference, said.version)} />
      )}
      {said.at ? (
        <span className="nbl-models-none" title={moment(said.at)}>
          {time(said.at)}
        </span>
      ) : null}
      {run ? (
        <Lead
          text={trans.__('report')}
          title={run}
          onClick={() => {
            void commands.execute(Commands.openRun, { run, tab: 'artifacts' });
          }}
        />
      ) : null}
    </p>
  );
}
