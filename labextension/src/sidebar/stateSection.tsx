import { ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { Message } from '@lumino/messaging';
import type { ReactElement } from 'react';

import type { IProblem, IState } from '../api/types';
import { Commands, Ids } from '../names';
import { useChanges, useLive } from '../shared/hooks';
import { Busy, Empty, Problem, TextButton } from '../shared/parts';
import { Bdi } from '../shared/text';
import type { ILedger } from '../tokens';
import { Branch } from './branch';
import { Group } from './group';
import { Jobs } from './jobs';
import { commandIn, type IHands } from './hands';
import { groups } from './stateModel';

/** Code, data, pipeline and tracking: what differs from what is recorded, and what to do about it. */
export class StateSection extends ReactWidget {
  constructor(
    private readonly ledger: ILedger,
    private readonly hands: IHands
  ) {
    super();
    this.id = Ids.state;
    this.title.label = ledger.trans.__('State');
    this.addClass('nbl-section');
    this.addClass('nbl-state');
    this.node.tabIndex = -1;
  }

  override render(): ReactElement {
    return <State ledger={this.ledger} hands={this.hands} />;
  }

  protected override onActivateRequest(msg: Message): void {
    super.onActivateRequest(msg);
    const first = this.node.querySelector<HTMLElement>('button:not(:disabled)');
    (first ?? this.node).focus();
  }
}

function State({ ledger, hands }: { ledger: ILedger; hands: IHands }): ReactElement {
  const { value, problem } = useLive(ledger.state);
  const { trans, unsaved } = ledger;
  useChanges(unsaved.changed);
  if (!value) {
    return problem ? (
      <Away problem={problem} ledger={ledger} commands={hands.commands} />
    ) : (
      <Busy text={trans.__('Looking at the project…')} />
    );
  }
  return (
    <>
      {problem ? <Away problem={problem} ledger={ledger} commands={hands.commands} /> : null}
      <Jobs ledger={ledger} stop={hands.stop} />
      {value.code.repository ? (
        <Known state={value} unsaved={unsaved.paths} trans={trans} hands={hands} />
      ) : (
        <NoProject trans={trans} hands={hands} state={value} />
      )}
      <Notes state={value} trans={trans} />
    </>
  );
}

function Known({
  state,
  unsaved,
  trans,
  hands
}: {
  state: IState;
  unsaved: readonly string[];
  trans: TranslationBundle;
  hands: IHands;
}): ReactElement {
  const all = groups(state, trans, unsaved);
  const calm = all.every(group => group.tone === 'quiet');
  return (
    <>
      <Branch state={state} trans={trans} hands={hands} />
      {calm ? (
        <p className="nbl-calm">{trans.__('Code and data are as they were recorded.')}</p>
      ) : null}
      {all.map(group => (
        <Group key={group.id} group={group} trans={trans} hands={hands} />
      ))}
      <p className="nbl-tracking" title={state.tracking.uri}>
        {trans.__('Experiment')} <Bdi text={state.tracking.experiment} />
      </p>
    </>
  );
}

function NoProject({
  state,
  trans,
  hands
}: {
  state: IState;
  trans: TranslationBundle;
  hands: IHands;
}): ReactElement {
  const folder = state.root.split('/').pop() ?? '';
  return (
    <Empty text={trans.__('No project was found here.')}>
      <p>
        <Bdi text={folder} /> {trans.__('is in no Git repository, so nothing can be brought back.')}{' '}
        {trans.__('Setting up makes it one, with DVC for data and a store for runs.')}
      </p>
      <TextButton
        kind="accept"
        label={trans.__('Set up this folder…')}
        onClick={() => {
          hands.run(Commands.init);
        }}
      />
    </Empty>
  );
}

/** What is wrong, and where a command would mend it, a terminal with that command. */
function Away({
  problem,
  ledger,
  commands
}: {
  problem: IProblem;
  ledger: ILedger;
  commands: CommandRegistry;
}): ReactElement {
  const { trans } = ledger;
  const command = commandIn(problem);
  const offered = command !== null && commands.hasCommand('terminal:create-new');
  return (
    <Problem problem={problem} trans={trans} retry={() => void ledger.state.refresh()}>
      {offered ? (
        <TextButton
          kind="accept"
          label={trans.__('Open in a terminal')}
          title={trans.__('Opens a terminal where this command stands; Enter runs it')}
          onClick={() => void typeInTerminal(commands, command)}
        />
      ) : null}
    </Problem>
  );
}

/** The command stands there; the user reads it and presses Enter. */
async function typeInTerminal(commands: CommandRegistry, command: string): Promise<void> {
  const terminal = (await commands.execute('terminal:create-new')) as {
    content?: { session?: { send(message: unknown): void } };
  } | null;
  terminal?.content?.session?.send({ type: 'stdin', content: [command] });
}

function Notes({ state, trans }: { state: IState; trans: TranslationBundle }): ReactElement | null {
  const known = /^no (Git|DVC) repository/; // said above, with a button
  const notes = state.notes.filter(note => !known.test(note));
  return notes.length ? (
    <ul className="nbl-state-notes" aria-label={trans.__('Notes')}>
      {notes.slice(0, 20).map((note, at) => (
        <li key={at}>
          <Bdi text={note} />
        </li>
      ))}
    </ul>
  ) : null;
}
