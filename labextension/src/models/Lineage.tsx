import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement, ReactNode } from 'react';

import type { IModelVersion } from '../api/types';
import { Hash, Lead } from '../detail/pieces';
import { Commands } from '../names';
import { moment, number } from '../shared/format';
import { Bdi, Clip, cut } from '../shared/text';
import { gateOf } from './gate';
import { Aliases } from './parts';

/** So many inputs and metrics are named. */
const MOST = 12;

/** Where a version comes from, backwards: version, run, code, data. */
export function Lineage(props: {
  version: IModelVersion;
  commands: CommandRegistry;
  openNotebook: (path: string) => void;
  trans: TranslationBundle;
}): ReactElement {
  const { version, commands, trans } = props;
  const gate = gateOf(version);
  const metrics = Object.entries(version.metrics);
  const { run_id, commit, notebook, inputs } = version;
  return (
    <ol
      className="nbl-lineage"
      aria-label={trans.__('Where version %1 comes from', version.version)}
    >
      <Step title={trans.__('model version')}>
        <b>
          <Clip text={`${version.name} · ${version.version}`} />
        </b>
        {version.aliases.length ? <Aliases names={version.aliases} /> : null}
        <span>{trans.__('registered %1', moment(version.created))}</span>
        {version.status && version.status !== 'READY' ? <Clip text={version.status} /> : null}
        {gate?.facts.slice(0, MOST).map(([key, value]) => (
          <span key={key} className="nbl-lineage-fact">
            <span className="nbl-models-none">{cut(key, 60)}</span>{' '}
            <Bdi text={key === 'at' ? moment(value) : value} />
          </span>
        ))}
      </Step>
      <Step title={trans.__('run')}>
        {run_id ? (
          <Lead
            text={version.run_name || run_id}
            onClick={() => {
              void commands.execute(Commands.openRun, { run: run_id });
            }}
          />
        ) : (
          <span>{trans.__('unknown: the version names no run')}</span>
        )}
        {metrics.slice(0, MOST).map(([name, value]) => (
          <span key={name} className="nbl-lineage-metric">
            <Clip text={name} /> <b>{number(value)}</b>
          </span>
        ))}
        {metrics.length > MOST ? (
          <span>{trans.__('… and %1 more', metrics.length - MOST)}</span>
        ) : null}
      </Step>
      <Step title={trans.__('code')}>
        {commit ? (
          <Hash text={commit} of={trans.__('the commit')} trans={trans} />
        ) : (
          <span>{trans.__('unknown: no commit was recorded')}</span>
        )}
        {notebook ? (
          <Lead
            text={notebook}
            title={trans.__('Open %1 as it is now', notebook.slice(0, 200))}
            onClick={() => {
              props.openNotebook(notebook);
            }}
          />
        ) : null}
      </Step>
      <Step title={trans.__('data')}>
        {inputs.length ? (
          inputs.slice(0, MOST).map(input => (
            <span key={input.path} className="nbl-lineage-input">
              <Lead
                text={input.path}
                title={trans.__('Show the versions of %1', input.path.slice(0, 200))}
                onClick={() => {
                  void commands.execute(Commands.versions, { path: input.path });
                }}
              />
              <Hash text={input.md5} of={trans.__('version of %1', input.path)} trans={trans} />
            </span>
          ))
        ) : (
          <span>{trans.__('no input was recorded')}</span>
        )}
        {inputs.length > MOST ? (
          <Bdi text={trans.__('… and %1 more', inputs.length - MOST)} />
        ) : null}
      </Step>
    </ol>
  );
}

function Step({ title, children }: { title: string; children: ReactNode }): ReactElement {
  return (
    <li>
      <span className="nbl-lineage-kind">{title}</span>
      {children}
    </li>
  );
}
