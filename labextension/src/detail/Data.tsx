import type { ReactElement } from 'react';

import type { IFile } from '../api/types';
import { Commands } from '../names';
import { isForeign } from '../runs/texts';
import { bytes } from '../shared/format';
import { TextButton } from '../shared/parts';
import { Clip, PathText } from '../shared/text';
import { Listing } from './Listing';
import { Chip, Hash, Part, Said, type IView } from './pieces';

export function Data(view: IView): ReactElement {
  const { detail, trans } = view;
  const unknown = isForeign(detail.run)
    ? trans.__('Not known: nbledger did not record this run.')
    : null;
  return (
    <>
      <Named {...view} />
      <Part title={trans.__('Inputs')} count={detail.inputs.length}>
        {detail.inputs.length ? (
          <Files {...view} label={trans.__('Inputs')} files={detail.inputs} />
        ) : (
          <Said>
            {unknown ??
              trans.__(
                'No file was seen to be read. What a child process, a database or the network gave is not seen.'
              )}
          </Said>
        )}
      </Part>
      <Part title={trans.__('Outputs')} count={detail.outputs.length}>
        {detail.outputs.length ? (
          <Files {...view} label={trans.__('Outputs')} files={detail.outputs} />
        ) : (
          <Said>{unknown ?? trans.__('No file was seen to be written.')}</Said>
        )}
      </Part>
    </>
  );
}

/** The data sets that somebody logged with MLflow itself; their digests may be of a part of the data. */
function Named({ detail, trans }: IView): ReactElement | null {
  const { inputs } = detail.run;
  if (!isForeign(detail.run) || !inputs.length) {
    return null;
  }
  return (
    <Part title={trans.__('Data sets that the run named')} count={inputs.length}>
      <Listing
        label={trans.__('Data sets that the run named')}
        rows={inputs}
        id={input => `${input.path} ${input.md5}`}
        words={input => input.path}
        trans={trans}
        columns={[
          { name: trans.__('name'), cell: input => <Clip text={input.path} /> },
          { name: trans.__('digest of MLflow'), cell: input => <Clip text={input.md5} /> }
        ]}
      />
    </Part>
  );
}

function Files(view: IView & { label: string; files: readonly IFile[] }): ReactElement {
  const { trans, commands } = view;
  return (
    <Listing
      label={view.label}
      rows={view.files}
      id={file => file.path}
      words={file => `${file.path} ${file.state}`}
      trans={trans}
      columns={[
        {
          name: trans.__('path'),
          cell: file => (
            <>
              <PathText path={file.path} />
              {file.dataset && file.dataset !== file.path ? (
                <span className="nbl-detail-aside">
                  {trans.__('in')} <Clip text={file.dataset} />
                </span>
              ) : null}
            </>
          )
        },
        { name: trans.__('state'), cell: file => <State state={file.state} trans={trans} /> },
        {
          name: trans.__('version'),
          cell: file =>
            file.md5 ? (
              <Hash text={file.md5} of={trans.__('version of %1', file.path)} trans={trans} />
            ) : (
              trans.__('unknown')
            )
        },
        {
          name: trans.__('size'),
          number: true,
          cell: file => (file.size === null ? trans.__('unknown') : bytes(file.size))
        },
        {
          name: '',
          cell: file =>
            file.state.startsWith('dvc') ? (
              <TextButton
                kind="minimal"
                label={trans.__('Show versions')}
                onClick={() => {
                  void commands.execute(Commands.versions, {
                    path: file.dataset ?? file.path,
                    project: view.model.path
                  });
                }}
              />
            ) : null
        }
      ]}
    />
  );
}

function State({ state, trans }: { state: string; trans: IView['trans'] }): ReactElement {
  const words: Readonly<Record<string, [string, 'good' | 'warn' | 'bad' | 'plain', string]>> = {
    dvc: [trans.__('DVC'), 'good', trans.__('As DVC has it')],
    git: [trans.__('Git'), 'good', trans.__('As the snapshot has it')],
    'dvc-changed': [
      trans.__('changed'),
      'warn',
      trans.__('DVC tracks the file, but these bytes had no version when the run read them')
    ],
    'git-changed': [
      trans.__('changed'),
      'warn',
      trans.__('Git tracks the file, but the snapshot does not hold these bytes')
    ],
    untracked: [trans.__('no version'), 'bad', trans.__('Neither DVC nor Git holds these bytes')],
    external: [trans.__('outside'), 'bad', trans.__('The file stands outside of the project')],
    'changed-since-read': [
      trans.__('changed since'),
      'warn',
      trans.__(
        'The file changed before it could be looked at: which bytes the run read is not known'
      )
    ],
    unknown: [trans.__('not known yet'), 'plain', trans.__('The keeper has not looked at it yet')]
  };
  const [word, mood, title] = words[state] ?? [state || trans.__('unknown'), 'plain', state];
  return <Chip text={word} mood={mood} title={title} />;
}
