import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import type { IModel, IModelVersion } from '../api/types';
import { Listing } from '../detail/Listing';
import { Lead } from '../detail/pieces';
import { Commands } from '../names';
import { moment, number, time } from '../shared/format';
import { Clip } from '../shared/text';
import { newestFirst } from './gate';
import { Aliases, Gate } from './parts';

/** The versions of a model, one of them chosen. */
export function Versions(props: {
  model: IModel;
  chosen: IModelVersion | null;
  choose: (version: string) => void;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): ReactElement {
  const { model, chosen, choose, commands, trans } = props;
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
                  void commands.execute(Commands.openRun, { run });
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
