import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { closeIcon, ReactWidget, refreshIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import { useState, type ReactElement } from 'react';

import type { ICompared } from '../api/types';
import { Commands } from '../names';
import { mark, Swatch } from '../shared/charts';
import { copied } from '../shared/copy';
import { ago, moment } from '../shared/format';
import { useChanges, useLive } from '../shared/hooks';
import { Busy, IconButton, Problem, TextButton } from '../shared/parts';
import { personKey, personName } from '../shared/people';
import { Bdi, Clip } from '../shared/text';
import { StatusMark } from '../runs/StatusMark';
import { AddRun } from './AddRun';
import { Causes } from './Causes';
import { Charts } from './Charts';
import { Code } from './Code';
import { Data } from './Data';
import { titles, type CompareModel, type IFound } from './model';
import { blanks, Part } from './pieces';
import { Metrics, Rows } from './Values';

export interface ICompareProps {
  readonly model: CompareModel;
  readonly commands: CommandRegistry;
  readonly rendermime: IRenderMimeRegistry;
}

/** The tab that shows how runs differ, and why. */
export class ComparePanel extends ReactWidget {
  constructor(private readonly props: ICompareProps) {
    super();
    this.addClass('nbl-compare');
    this.node.tabIndex = -1;
  }

  get model(): CompareModel {
    return this.props.model;
  }

  override dispose(): void {
    this.model.dispose();
    super.dispose();
  }

  protected override render(): ReactElement {
    return <Compare {...this.props} />;
  }

  protected override onActivateRequest(): void {
    this.node.focus();
  }
}

function Compare(props: ICompareProps): ReactElement {
  const { model } = props;
  const { trans } = model.ledger;
  useChanges(model.changed);
  const { value, problem, loading } = useLive(model.found);
  return (
    <>
      <Bar {...props} />
      <div className="nbl-compare-body" aria-busy={loading}>
        {problem && (
          <Problem
            problem={problem}
            trans={trans}
            retry={() => {
              model.refresh();
            }}
          />
        )}
        {!value && loading && <Busy text={trans.__('Comparing…')} />}
        {value && <Found {...props} found={value} />}
      </div>
    </>
  );
}

function Bar({ model, commands }: ICompareProps): ReactElement {
  const { trans } = model.ledger;
  const [said, setSaid] = useState('');
  const copy = async (): Promise<void> => {
    const answer = await model.ledger.attempt(model.api.markdown(model.names, model.everything));
    if (answer) {
      const done = await copied(answer.markdown);
      setSaid(done ? trans.__('Copied') : trans.__('The browser does not let pages copy'));
      setTimeout(() => {
        setSaid('');
      }, 3_000);
    }
  };
  return (
    <div className="nbl-compare-bar" role="toolbar" aria-label={trans.__('Comparison')}>
      <span className="nbl-switch" role="group" aria-label={trans.__('What is shown')}>
        {[false, true].map(all => (
          <button
            key={String(all)}
            type="button"
            aria-pressed={model.everything === all}
            onClick={() => {
              model.show(all);
            }}
          >
            {all ? trans.__('All') : trans.__('Differences only')}
          </button>
        ))}
      </span>
      <TextButton
        label={trans.__('Swap')}
        title={trans.__('Turn the order of the runs round')}
        onClick={() => {
          model.swap();
        }}
      />
      <AddRun model={model} />
      <span className="nbl-space" />
      <span role="status" className="nbl-quiet">
        {said}
      </span>
      <TextButton label={trans.__('Copy as Markdown')} onClick={() => void copy()} />
      <TextButton
        label={trans.__('Open in MLflow')}
        onClick={() => {
          void commands.execute(Commands.openInMlflow, {
            runs: [...model.names],
            path: model.path
          });
        }}
      />
      <IconButton
        icon={refreshIcon}
        label={trans.__('Compare again')}
        onClick={() => {
          model.refresh();
        }}
      />
    </div>
  );
}

function Found(props: ICompareProps & { readonly found: IFound }): ReactElement {
  const { model, commands, rendermime, found } = props;
  const { comparison } = found;
  const { trans } = model.ledger;
  const sides = comparison.runs;
  const names = titles(sides);
  const made = sides.filter(side => side.kind === 'run');
  const several = new Set(made.map(side => personKey(side.user))).size > 1;
  const params = Object.entries(comparison.params).map(([name, values]) => ({ name, values }));
  return (
    <>
      <ul className="nbl-compared" aria-label={trans.__('Compared')}>
        {sides.map((side, at) => (
          <Side
            key={at}
            side={side}
            name={names[at] ?? side.title}
            at={at}
            several={several}
            model={model}
            commands={commands}
            asked={found.names[at]}
          />
        ))}
      </ul>
      {comparison.notes.length > 0 && (
        <ul className="nbl-notes">
          {comparison.notes.map(note => (
            <li key={note}>
              <Bdi text={note} />
            </li>
          ))}
        </ul>
      )}
      <Causes
        causes={comparison.causes}
        equal={comparison.equal}
        two={names.length === 2}
        trans={trans}
      />
      <Metrics comparison={comparison} names={names} model={model} trans={trans} />
      <Rows
        title={trans.__('Parameters')}
        what={trans.__('Parameter')}
        rows={params}
        names={names}
        none={blanks(sides, 'parameter')}
        trans={trans}
      />
      <Charts comparison={comparison} names={names} model={model} trans={trans} />
      <Data data={comparison.data} none={blanks(sides, 'data')} trans={trans} />
      <Code
        code={comparison.code}
        names={names}
        none={blanks(sides, 'code')}
        model={model}
        rendermime={rendermime}
        trans={trans}
      />
      <Rows
        title={trans.__('Environment')}
        what={trans.__('Package')}
        rows={comparison.environment.map(row => ({ ...row, note: roleText(row.role, trans) }))}
        names={names}
        none={blanks(sides, 'environment')}
        trans={trans}
      />
      <Rows
        title={trans.__('Seeds')}
        what={trans.__('Seed')}
        rows={comparison.seeds}
        names={names}
        none={blanks(sides, 'seed')}
        trans={trans}
      />
      {comparison.order.length > 0 && (
        <Part title={trans.__('Order of cells')} count={comparison.order.length}>
          <ul className="nbl-named">
            {comparison.order.map((change, at) => (
              <li key={at}>
                <Bdi text={change.what} />
                {!change.matters && comparison.runs.length === 2 && (
                  <span className="nbl-chip">{trans.__('the result does not depend on it')}</span>
                )}
                {change.evidence && (
                  <div className="nbl-quiet">
                    <Bdi text={change.evidence} />
                  </div>
                )}
              </li>
            ))}
          </ul>
        </Part>
      )}
      <Rows
        title={trans.__('Hardware')}
        what={trans.__('Hardware')}
        rows={comparison.hardware}
        names={names}
        none={blanks(sides, 'environment')}
        trans={trans}
      />
    </>
  );
}

interface ISideProps {
  readonly side: ICompared;
  readonly name: string;
  readonly at: number;
  /** Whether the sides are of several people. */
  readonly several: boolean;
  readonly asked: string | undefined;
  readonly model: CompareModel;
  readonly commands: CommandRegistry;
}

function Side({ side, name, at, several, asked, model, commands }: ISideProps): ReactElement {
  const { trans } = model.ledger;
  return (
    <li className={mark(at).className}>
      <Swatch index={at} />
      {side.kind === 'run' ? (
        <button
          type="button"
          className="nbl-link"
          title={trans.__('Open this run')}
          onClick={() => {
            void commands.execute(Commands.openRun, { run: side.run_id, path: model.path });
          }}
        >
          <Clip text={name} />
        </button>
      ) : (
        <Clip text={name} />
      )}
      {side.kind === 'run' && isStatus(side.status) && (
        <StatusMark status={side.status} trans={trans} />
      )}
      {side.kind === 'run' && side.origin !== 'nbledger' && (
        <span className="nbl-chip" title={trans.__('nbledger did not record this run')}>
          MLflow
        </span>
      )}
      {side.user && several && (
        <Clip className="nbl-quiet" text={personName(side.user)} title={side.user} />
      )}
      {side.start && (
        <span className="nbl-quiet" title={moment(side.start)}>
          {ago(side.start, trans)}
        </span>
      )}
      {model.names.length > 2 && asked !== undefined && (
        <IconButton
          icon={closeIcon}
          label={trans.__('Leave %1 out', name.slice(0, 60))}
          onClick={() => {
            model.remove(asked);
          }}
        />
      )}
    </li>
  );
}

const STATUSES = ['RUNNING', 'FINISHED', 'FAILED', 'KILLED', 'SCHEDULED'] as const;

function isStatus(text: string): text is (typeof STATUSES)[number] {
  return (STATUSES as readonly string[]).includes(text);
}

function roleText(role: string, trans: CompareModel['ledger']['trans']): string {
  const words: Readonly<Record<string, string>> = {
    imported: trans.__('imported by the run'),
    direct: trans.__('named by the project'),
    system: trans.__('system')
  };
  return words[role] ?? '';
}
