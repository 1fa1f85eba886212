import { Notification } from '@jupyterlab/apputils';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { ReactElement } from 'react';

import type { Api } from '../api/api';
import type { IVersion, IVersions } from '../api/types';
import { confirm } from '../shared/confirm';
import { ago, bytes, count, moment } from '../shared/format';
import { useLive } from '../shared/hooks';
import { versionsIcon } from '../shared/icons';
import { Live } from '../shared/live';
import { Busy, Empty, Problem, TextButton } from '../shared/parts';
import { Bdi, Clip, cut, PathText } from '../shared/text';
import type { ILedger } from '../tokens';

export interface IVersionsOptions {
  readonly ledger: ILedger;
  readonly api: Api;
  /** Of the project. */
  readonly path: string;
  readonly openRun: (run: string) => void;
}

/** The versions of a file that DVC tracks, each with the way back to it. */
export class VersionsView extends ReactWidget {
  readonly versions: Live<IVersions>;

  constructor(private readonly options: IVersionsOptions) {
    super();
    this.addClass('nbl-versions');
    this.node.tabIndex = 0;
    this.versions = new Live(() => options.api.versions(options.path));
    options.ledger.state.changed.connect(this.look);
    void this.versions.refresh();
  }

  override dispose(): void {
    this.options.ledger.state.changed.disconnect(this.look);
    super.dispose();
  }

  override render(): ReactElement {
    return <Page options={this.options} live={this.versions} />;
  }

  private readonly look = (): void => {
    if (this.isVisible) {
      void this.versions.refresh();
    }
  };
}

interface IPageProps {
  readonly options: IVersionsOptions;
  readonly live: Live<IVersions>;
}

function Page({ options, live }: IPageProps): ReactElement {
  const { ledger, path } = options;
  const { trans } = ledger;
  const { value, problem } = useLive(live);
  if (!value) {
    return problem ? (
      <Problem problem={problem} trans={trans} retry={() => void live.refresh()} />
    ) : (
      <Busy text={trans.__('Looking for versions…')} />
    );
  }
  return (
    <>
      <h2 className="nbl-versions-title">
        <PathText path={path} />
      </h2>
      {value.versions.length ? (
        <table className="nbl-versions-table" aria-label={trans.__('Versions of %1', path)}>
          <thead>
            <tr>
              <th scope="col">{trans.__('When')}</th>
              <th scope="col">{trans.__('Commit')}</th>
              <th scope="col">{trans.__('What for')}</th>
              <th scope="col" className="nbl-mod-number">
                {trans.__('Size')}
              </th>
              <th scope="col">{trans.__('Read by')}</th>
              <th scope="col">
                <span className="nbl-versions-hidden">{trans.__('Action')}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {value.versions.map((version, at) => (
              <Row
                key={`${version.commit} ${version.md5} ${at}`}
                version={version}
                options={options}
                live={live}
              />
            ))}
          </tbody>
        </table>
      ) : (
        <Empty icon={versionsIcon} text={trans.__('No version of this file is recorded yet.')} />
      )}
    </>
  );
}

function Row({
  version,
  options,
  live
}: IPageProps & { readonly version: IVersion }): ReactElement {
  const { ledger } = options;
  const { trans } = ledger;
  return (
    <tr className={version.current ? 'nbl-mod-current' : undefined}>
      <td title={version.at ? moment(version.at) : ''}>
        {version.at ? ago(version.at, trans) : trans.__('not committed')}
      </td>
      <td>
        <code title={version.commit}>{version.commit.slice(0, 8)}</code>
      </td>
      <td className="nbl-versions-message">
        <Clip text={version.message} />
        <Clip text={version.author} className="nbl-versions-author" />
      </td>
      <td className="nbl-mod-number" title={`md5 ${version.md5}`}>
        {bytes(version.size)}
        {version.nfiles === null
          ? null
          : ` · ${trans._n('%1 file', '%1 files', version.nfiles, count(version.nfiles))}`}
      </td>
      <td>
        <Readers version={version} options={options} />
      </td>
      <td className="nbl-versions-action">
        {version.current ? (
          <span className="nbl-versions-here">{trans.__('in use')}</span>
        ) : version.commit ? (
          <TextButton
            label={trans.__('Use…')}
            title={
              version.cached
                ? trans.__('Put this version in the place of the present one')
                : trans.__('Its bytes are not here; they are fetched from the remote')
            }
            onClick={() => void use(version, options, live)}
          />
        ) : null}
      </td>
    </tr>
  );
}

const READERS = 3;

function Readers({
  version,
  options
}: {
  version: IVersion;
  options: IVersionsOptions;
}): ReactElement {
  const { trans } = options.ledger;
  const more = version.runs.length - READERS;
  return (
    <div className="nbl-versions-runs">
      {version.runs.slice(0, READERS).map(({ run_id: run, name }) => (
        <button
          key={run}
          type="button"
          className="nbl-versions-run"
          title={cut(name, 400)}
          onClick={() => {
            options.openRun(run);
          }}
        >
          <Bdi text={name} />
        </button>
      ))}
      {more > 0 ? <span>{trans._n('and %1 run', 'and %1 runs', more)}</span> : null}
    </div>
  );
}

/** Put a version in the place of the present one, which a notification offers back. */
async function use(
  { commit }: IVersion,
  options: IVersionsOptions,
  live: Live<IVersions>
): Promise<void> {
  const { ledger, api, path } = options;
  const { trans } = ledger;
  const before = live.value?.versions.find(version => version.current && version.commit);
  const sure = await confirm(ledger, {
    kind: 'use_version',
    words: { file: path, commit },
    title: trans.__('Use the version of %1', commit.slice(0, 8)),
    button: trans.__('Use')
  });
  if (sure === null || !(await ledger.attempt(() => api.useVersion(path, commit)))) {
    return;
  }
  void live.refresh();
  void ledger.state.refresh();
  const back = async () => {
    if (before && (await ledger.attempt(() => api.useVersion(path, before.commit)))) {
      void live.refresh();
      void ledger.state.refresh();
    }
  };
  Notification.success(trans.__('%1 is the version of %2', cut(path, 200), commit.slice(0, 8)), {
    autoClose: 16_000,
    actions: before ? [{ label: trans.__('Undo'), callback: () => void back() }] : []
  });
}
