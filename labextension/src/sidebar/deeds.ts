import { InputDialog, Notification } from '@jupyterlab/apputils';

import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Query } from '../api/client';
import type { IJob, JobKind } from '../api/types';
import { Commands } from '../names';
import { confirm, type IConfirm } from '../shared/confirm';
import { cut } from '../shared/text';
import { askTrust } from '../shared/trust';
import type { ILedger } from '../tokens';
import { commitOf, JobWatch } from './jobWatch';
import { checkpointPaths } from './stateModel';

/** A preview's question is an address: longer lists are named as a whole. */
const LONGEST_QUESTION = 20_000;
const SOON = 8_000;

/** What `nbledger reproduce --json` says. */
interface IReproduced {
  readonly run_id: string;
  readonly new_run_id: string | null;
  readonly verdict: string | null;
}

/** What of `nbledger deploy --json` and `nbledger drift --json` is told. */
interface IOfModel {
  readonly ok: boolean;
  readonly drifted: boolean;
  readonly run_id: string | null;
}

const TONE: Readonly<Record<string, Notification.TypeOptions>> = {
  different: 'warning',
  'not-restorable': 'warning'
};

/** What the sidebar does, each asked first and told afterwards. */
export class Deeds {
  constructor(
    private readonly ledger: ILedger,
    private readonly run: (command: string, args: ReadonlyPartialJSONObject) => void
  ) {
    ledger.jobs.changed.connect(() => {
      this.watch.ended(ledger.jobs.value ?? []).forEach(job => {
        this.over(job);
      });
    });
  }

  init(): Promise<void> {
    const { trans } = this;
    return this.setUp(
      {},
      trans.__('Set up this folder'),
      trans.__('Set up'),
      trans.__('The project is set up')
    );
  }

  /** Name the place that data is pushed to. */
  async setRemote(): Promise<void> {
    const { trans } = this;
    const answer = await InputDialog.getText({
      title: trans.__('Where the data is pushed to'),
      label: trans.__(
        'A folder, or an address as DVC takes it: s3://…, gs://…, azure://…, ssh://…'
      ),
      okLabel: trans.__('Next')
    });
    const remote = answer.value?.trim();
    if (answer.button.accept && remote) {
      const title = trans.__('Where the data is pushed to');
      await this.setUp({ remote }, title, trans.__('Set'), trans.__('Data can be pushed now'));
    }
  }

  /** Commit `paths` of the project; without: everything changed and new. */
  async checkpoint(paths?: readonly string[]): Promise<void> {
    const { ledger, trans } = this;
    // What is committed is what is on screen, as before a tracked cell.
    const unsaved = ledger.unsaved.paths;
    await ledger.unsaved.save();
    if (unsaved[0] !== undefined) {
      const others = trans._n('%1 document is saved', '%1 documents are saved', unsaved.length);
      const one = trans.__('%1 is saved', cut(unsaved[0], 100));
      Notification.info(unsaved.length > 1 ? others : one, { autoClose: SOON / 2 });
    }
    await ledger.state.refresh();
    const state = ledger.state.value;
    const wanted = asked(paths ?? (state ? checkpointPaths(state) : []));
    const message = await confirm(ledger, {
      kind: 'checkpoint',
      words: { paths: wanted },
      title: trans.__('Checkpoint'),
      button: trans.__('Checkpoint'),
      ask: { label: trans.__('What changed?'), required: true }
    });
    if (message === null) {
      return;
    }
    const made = await ledger.attempt(() => ledger.api.checkpoint(message.trim(), wanted));
    if (made?.commit) {
      const files = trans._n('%1 file', '%1 files', made.paths.length);
      this.offerUndo(trans.__('Committed %1', files), made.commit);
    } else if (made) {
      Notification.info(trans.__('Nothing had changed'), { autoClose: SOON });
    }
    void ledger.state.refresh();
  }

  async undo(commit = this.ledger.state.value?.code.undo?.commit): Promise<void> {
    const { ledger, trans } = this;
    if (!commit) {
      return;
    }
    const sure = await confirm(ledger, {
      kind: 'undo',
      words: { commit },
      title: trans.__('Undo the checkpoint'),
      button: trans.__('Undo')
    });
    if (sure !== null && (await ledger.attempt(() => ledger.api.undo(commit)))) {
      Notification.success(trans.__('Taken back; your files are as they were'), {
        autoClose: SOON
      });
      void ledger.state.refresh();
    }
  }

  async trust(): Promise<void> {
    const { ledger, trans } = this;
    if ((await askTrust(ledger, ledger.api)) && (await ledger.attempt(() => ledger.api.trust()))) {
      Notification.success(trans.__('You trust this repository now'), { autoClose: SOON });
      void ledger.state.refresh();
    }
  }

  push(): Promise<void> {
    const { trans } = this;
    return this.job('push', {}, trans.__('Push code, data and runs'), trans.__('Push'));
  }

  pull(): Promise<void> {
    const { trans } = this;
    return this.job('pull', {}, trans.__('Pull code and data'), trans.__('Pull'));
  }

  track(paths: readonly string[]): Promise<void> {
    const { trans } = this;
    const some = fitting(paths);
    const more = paths.length - some.length;
    return this.job('track', { paths }, trans.__('Track with DVC'), trans.__('Track'), {
      words: { paths: some },
      ...(more
        ? { children: trans.__('The first %1; %2 more are tracked too', some.length, more) }
        : {})
    });
  }

  async flush(): Promise<void> {
    const { ledger, trans } = this;
    const answer = await ledger.attempt(() => ledger.api.flush());
    if (answer?.left) {
      const why = cut(answer.reasons.join('\n'), 500);
      const left = trans._n('%1 run still waits', '%1 runs still wait', answer.left);
      Notification.warning(`${left}\n${why}`, { autoClose: false });
    } else if (answer) {
      Notification.success(trans.__('Every run is published'), { autoClose: SOON });
    }
    void ledger.state.refresh();
  }

  stop(job: IJob): Promise<unknown> {
    return this.ledger.attempt(() => this.ledger.api.stop(job.id));
  }

  private async setUp(
    words: { readonly remote?: string },
    title: string,
    button: string,
    done: string
  ): Promise<void> {
    const { ledger, trans } = this;
    if ((await confirm(ledger, { kind: 'init', words, title, button })) === null) {
      return;
    }
    const told = Notification.emit(trans.__('Setting up…'), 'in-progress', { autoClose: false });
    const made = await ledger.attempt(() => ledger.api.init(words));
    await ledger.state.refresh();
    const lacking = made?.filter(line => line.startsWith('! ')).map(line => line.slice(2)) ?? [];
    if (lacking.length > 0) {
      // The remote is set; what it still lacks (a plugin, a credential) is for the person to do.
      const message = cut(lacking.join('\n'), 800);
      Notification.update({ id: told, message, type: 'warning', autoClose: false });
    } else if (made) {
      Notification.update({ id: told, message: done, type: 'success', autoClose: SOON });
    } else {
      Notification.dismiss(told);
    }
  }

  private async job(
    kind: JobKind,
    words: Query,
    title: string,
    button: string,
    over: Partial<IConfirm> = {}
  ): Promise<void> {
    const { ledger } = this;
    if ((await confirm(ledger, { kind, words, title, button, ...over })) === null) {
      return;
    }
    const job = await ledger.attempt(() => ledger.api.start(kind, words));
    if (job) {
      this.watch.started(job.id);
      void ledger.jobs.refresh();
    }
  }

  /** A job ended: say how. */
  private over(job: IJob): void {
    const { trans } = this;
    const title = cut(job.title, 200);
    if (job.state === 'failed') {
      const why = [job.problem?.error ?? job.text, job.problem?.hint ?? ''].filter(Boolean);
      Notification.error([`${title}: ${why[0] ?? ''}`, ...why.slice(1)].join('\n'), {
        autoClose: false
      });
    } else if (job.state === 'stopped') {
      Notification.warning(trans.__('%1: stopped', title), { autoClose: SOON });
    } else {
      const said = cut(job.text, 300) || title;
      const commit = job.kind === 'track' ? commitOf(job.result) : null;
      if (job.kind === 'reproduce') {
        this.reproduced(title, job.result as Partial<IReproduced> | null);
      } else if (job.kind === 'deploy' || job.kind === 'drift') {
        this.ofModel(said, job.result as Partial<IOfModel> | null);
      } else if (commit) {
        this.offerUndo(said, commit);
      } else {
        Notification.success(said, { autoClose: SOON });
      }
    }
  }

  /** Whether it serves or what has drifted; what is no good news stays until it is read. */
  private ofModel(said: string, result: Partial<IOfModel> | null): void {
    const { trans } = this;
    const { run_id: run = null, ok = true, drifted = false } = result ?? {};
    const actions = run
      ? [
          {
            label: trans.__('Report'),
            callback: () => {
              this.run(Commands.openRun, { run, tab: 'artifacts' });
            }
          }
        ]
      : [];
    const bad = !ok || drifted;
    Notification.emit(said, bad ? 'warning' : 'success', {
      autoClose: bad ? false : 2 * SOON,
      actions
    });
  }

  /** The verdict, and the way to the new run. */
  private reproduced(title: string, result: Partial<IReproduced> | null): void {
    const { trans } = this;
    const { run_id: old = null, new_run_id: made = null, verdict = null } = result ?? {};
    const run = (command: string, args: ReadonlyPartialJSONObject) => () => {
      this.run(command, args);
    };
    const actions = made
      ? [
          { label: trans.__('Open'), callback: run(Commands.openRun, { run: made }) },
          ...(old
            ? [
                {
                  label: trans.__('Compare'),
                  callback: run(Commands.compare, { runs: [old, made] })
                }
              ]
            : [])
        ]
      : [];
    Notification.emit(
      `${title}: ${verdict ?? trans.__('restored')}`,
      TONE[verdict ?? ''] ?? 'success',
      {
        autoClose: 2 * SOON,
        actions
      }
    );
  }

  private offerUndo(said: string, commit: string): void {
    const { trans } = this;
    Notification.success(said, {
      autoClose: 2 * SOON,
      actions: [
        {
          label: trans.__('Undo'),
          caption: trans.__(
            'Take commit %1 back; your files stay as they are',
            commit.slice(0, 10)
          ),
          callback: () => void this.undo(commit)
        }
      ]
    });
  }

  private get trans() {
    return this.ledger.trans;
  }

  private readonly watch = new JobWatch();
}

/** The paths as a question can carry them; very many are `.`, which is all of the project. */
function asked(paths: readonly string[]): readonly string[] {
  return fitting(paths).length < paths.length ? ['.'] : paths;
}

/** As many of the first as a question can carry. */
function fitting(paths: readonly string[]): readonly string[] {
  let room = LONGEST_QUESTION;
  return paths.filter(path => (room -= encodeURIComponent(path).length + '&paths='.length) > 0);
}
