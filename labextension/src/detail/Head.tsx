import { editIcon, undoIcon } from '@jupyterlab/ui-components';
import { useState, type ReactElement, type ReactNode } from 'react';

import { Commands } from '../names';
import { isForeign, recordedBy } from '../runs/texts';
import { useChanges } from '../shared/hooks';
import { moment, span } from '../shared/format';
import { personName } from '../shared/people';
import { IconButton, Problem, TextButton } from '../shared/parts';
import { Clip } from '../shared/text';
import type { RunActions } from './actions';
import { Chip, Hash, Lead, Status, VerdictChip, type IView } from './pieces';
import type { Reproductions } from './reproductions';
import { Reproducing } from './Reproducing';

export interface IHeadView extends IView {
  readonly actions: RunActions;
  readonly reproductions: Reproductions;
  readonly openNotebook: (path: string) => void;
}

export function Head(view: IHeadView): ReactElement {
  const { detail, model, trans, actions } = view;
  useChanges(view.reproductions.changed);
  return (
    <header className="nbl-detail-head">
      <div className="nbl-detail-title">
        <Status status={detail.run.status} trans={trans} />
        <Name {...view} />
        {detail.deleted ? <Chip text={trans.__('deleted')} mood="bad" /> : null}
        <Verdict {...view} />
      </div>
      <Facts {...view} />
      {isForeign(detail.run) ? (
        <p className="nbl-detail-strip" role="note">
          {trans.__(
            '%1: what was executed, what it read and its environment are not known.',
            capital(recordedBy(detail.run, trans))
          )}
        </p>
      ) : null}
      {detail.deleted ? (
        <div className="nbl-detail-strip" data-mood="warn" role="status">
          <span>
            {trans.__('This run is deleted. It can be restored until “mlflow gc” is run.')}
          </span>
          <TextButton
            kind="accept"
            label={trans.__('Restore')}
            onClick={() => {
              void actions
                .bringBack({ run: detail.run.run_id, path: model.path, api: model.api })
                .then(() => model.refresh());
            }}
          />
        </div>
      ) : (
        <Actions {...view} />
      )}
      {model.detail.problem ? (
        <Problem problem={model.detail.problem} trans={trans} retry={() => void model.refresh()} />
      ) : null}
      <Reproducing {...view} />
    </header>
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function Name({ detail, model, trans, actions }: IHeadView): ReactElement {
  const [draft, setDraft] = useState<string | null>(null);
  const { name, run_id } = detail.run;
  const save = async () => {
    const wanted = (draft ?? '').trim();
    if (!wanted || wanted === name) {
      setDraft(null);
      return;
    }
    const subject = { run: run_id, path: model.path, api: model.api };
    if (await actions.rename(subject, name, wanted)) {
      setDraft(null);
      await model.refresh();
    }
  };
  if (draft === null) {
    return (
      <>
        <h2>
          <Clip text={name || run_id} />
        </h2>
        {detail.deleted ? null : (
          <IconButton
            icon={editIcon}
            label={trans.__('Rename')}
            onClick={() => {
              setDraft(name);
            }}
          />
        )}
      </>
    );
  }
  return (
    <>
      <input
        type="text"
        className="jp-mod-styled nbl-detail-rename"
        aria-label={trans.__('Name of the run')}
        maxLength={250}
        autoFocus
        value={draft}
        onFocus={event => {
          event.target.select();
        }}
        onChange={event => {
          setDraft(event.target.value);
        }}
        onKeyDown={event => {
          if (event.key === 'Enter') {
            void save();
          } else if (event.key === 'Escape') {
            setDraft(null);
          }
        }}
      />
      <TextButton kind="accept" label={trans.__('Save')} onClick={() => void save()} />
      <IconButton
        icon={undoIcon}
        label={trans.__('Do not rename')}
        onClick={() => {
          setDraft(null);
        }}
      />
    </>
  );
}

function Verdict({ detail, trans, commands, model }: IHeadView): ReactElement | null {
  const verdict = detail.tags['nbledger.verdict'];
  const original = detail.tags['nbledger.reproduces'];
  return (
    <>
      {verdict ? (
        <span className="nbl-detail-fact">
          {original ? trans.__('came out') : trans.__('reproduced:')}{' '}
          <VerdictChip verdict={verdict} trans={trans} />
        </span>
      ) : null}
      {original ? (
        <TextButton
          kind="minimal"
          label={trans.__('Open the original')}
          onClick={() => {
            void commands.execute(Commands.openRun, { run: original, path: model.path });
          }}
        />
      ) : null}
    </>
  );
}

function Facts({ detail, trans, openNotebook }: IHeadView): ReactElement {
  const { run } = detail;
  const foreign = isForeign(run);
  const isNotebook = run.notebook?.endsWith('.ipynb') ?? false;
  return (
    <dl className="nbl-detail-facts">
      <Fact name={trans.__('started')}>{run.start ? moment(run.start) : trans.__('unknown')}</Fact>
      <Fact name={trans.__('took')}>
        {run.end || run.status === 'RUNNING' ? span(run.start, run.end) : trans.__('unknown')}
      </Fact>
      <Fact name={trans.__('user')}>
        <Who detail={detail} trans={trans} />
      </Fact>
      <Fact name={foreign && !isNotebook ? trans.__('source') : trans.__('notebook')}>
        {run.notebook && foreign && !isNotebook ? (
          <Clip text={run.notebook} />
        ) : run.notebook ? (
          <Lead
            text={run.notebook}
            title={trans.__('Open %1 as it is now', run.notebook.slice(0, 200))}
            onClick={() => {
              openNotebook(run.notebook ?? '');
            }}
          />
        ) : (
          trans.__('unknown')
        )}
      </Fact>
      <Fact name={run.dirty && !foreign ? trans.__('snapshot') : trans.__('commit')}>
        {run.commit ? (
          <Hash text={run.commit} of={trans.__('the commit')} trans={trans} />
        ) : foreign ? (
          trans.__('unknown')
        ) : (
          trans.__('none')
        )}
        {run.dirty ? (
          <span
            className="nbl-detail-aside"
            title={
              foreign
                ? trans.__('The code had changes that nobody kept')
                : trans.__('The code had changes that no branch holds')
            }
          >
            {trans.__('(of changed code)')}
          </span>
        ) : foreign && run.commit && run.dirty === null ? (
          <span
            className="nbl-detail-aside"
            title={trans.__('MLflow notes the commit, not whether files differed from it')}
          >
            {trans.__('(changes not known)')}
          </span>
        ) : null}
      </Fact>
      {run.branch ? (
        <Fact name={trans.__('branch')}>
          <Clip text={run.branch} />
        </Fact>
      ) : null}
      <Fact name={trans.__('experiment')}>
        <Clip text={run.experiment} />
      </Fact>
      <Fact name={trans.__('run')}>
        <Hash text={run.run_id} of={trans.__('the run’s id')} trans={trans} />
      </Fact>
    </dl>
  );
}

/** Who made the run, and where Git's name is known also the login; on which machine. */
function Who({ detail, trans }: Pick<IHeadView, 'detail' | 'trans'>): ReactElement {
  const { run, tags } = detail;
  const login = tags['mlflow.user'];
  const aside = [login && login !== run.user ? login : '', run.host ?? ''].filter(Boolean);
  return (
    <>
      {run.user === null ? (
        trans.__('unknown')
      ) : (
        <Clip text={personName(run.user)} title={run.user} />
      )}
      {aside.length ? (
        <span className="nbl-detail-aside">
          <Clip text={aside.join('@')} title={trans.__('Login and machine')} />
        </span>
      ) : null}
    </>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }): ReactElement {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Actions(view: IHeadView): ReactElement {
  const { detail, model, trans, commands, reproductions } = view;
  const run = detail.run.run_id;
  const execute = (command: string, words: Record<string, unknown> = { run, path: model.path }) => {
    void commands.execute(command, words as { run: string });
  };
  const busy = reproductions.of(run)?.state === 'running';
  const over = detail.run.status !== 'RUNNING';
  return (
    <div className="nbl-detail-acts" role="toolbar" aria-label={trans.__('Actions on this run')}>
      <TextButton
        kind="accept"
        label={trans.__('Reproduce…')}
        disabled={busy || !over}
        title={over ? trans.__('Bring it back and execute it again') : trans.__('It is running')}
        onClick={() => {
          execute(Commands.reproduce);
        }}
      />
      <TextButton
        label={trans.__('Compare with now')}
        onClick={() => {
          execute(Commands.compare, { runs: [run, '.'], path: model.path });
        }}
      />
      <TextButton
        label={trans.__('Promote…')}
        disabled={!detail.logged_models.length}
        title={
          detail.logged_models.length
            ? trans.__('Register its model')
            : trans.__('The run logged no model')
        }
        onClick={() => {
          execute(Commands.promote);
        }}
      />
      <TextButton
        label={trans.__('Tags…')}
        onClick={() => {
          execute(Commands.editTags);
        }}
      />
      {commands.hasCommand(Commands.openInMlflow) ? (
        <TextButton
          label={trans.__('Open in MLflow')}
          onClick={() => {
            execute(Commands.openInMlflow, { run, path: model.path });
          }}
        />
      ) : null}
      <TextButton
        label={trans.__('Delete…')}
        disabled={!over}
        title={over ? undefined : trans.__('It is running')}
        onClick={() => {
          execute(Commands.deleteRun);
        }}
      />
    </div>
  );
}
