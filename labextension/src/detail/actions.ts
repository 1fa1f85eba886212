import { Notification } from '@jupyterlab/apputils';
import type { CommandRegistry } from '@lumino/commands';

import type { Api } from '../api/api';
import type { ModelActions } from '../models/actions';
import { Commands } from '../names';
import { confirm } from '../shared/confirm';
import { cut } from '../shared/text';
import type { ILedger } from '../tokens';
import { askReproduce } from './dialogs/reproduce';
import { askTags } from './dialogs/tags';
import type { Reproductions } from './reproductions';
import { tagChanges, undone, type TagChanges } from './tags';

/** Which run of which project an action is about. */
export interface ISubject {
  readonly run: string;
  /** Names the project, as a path of Jupyter's contents. */
  readonly path: string;
  readonly api: Api;
}

const SHORTLY = 8_000;

/** What can be done with a run. Each asks first where that is due, and says how to take it back. */
export class RunActions {
  constructor(
    private readonly ledger: ILedger,
    private readonly commands: CommandRegistry,
    private readonly reproductions: Reproductions,
    private readonly models: ModelActions
  ) {}

  async reproduce({ run, path, api }: ISubject): Promise<void> {
    const wanted = await askReproduce(this.nameOf(run), this.ledger.trans);
    if (!wanted) {
      return;
    }
    const into = wanted.into.trim();
    const job = await this.reproductions.start(api, run, {
      times: wanted.restore_only ? 1 : wanted.times,
      restore_only: wanted.restore_only,
      ...(into ? { into } : {})
    });
    if (job) {
      await this.commands.execute(Commands.openRun, { run, path }); // where it can be followed
    }
  }

  async promote({ run, api }: ISubject): Promise<void> {
    const { trans } = this.ledger;
    const detail = await this.ledger.attempt(() => api.detail(run));
    if (!detail) {
      return;
    }
    if (!detail.logged_models.length) {
      Notification.warning(
        trans.__(
          'This run logged no model: there is nothing to promote. %%%%mlrun --model VAR logs one.'
        ),
        { autoClose: SHORTLY }
      );
      return;
    }
    const name = detail.run.name || run;
    const subject = { id: detail.run.run_id, name, logged: detail.logged_models };
    await this.models.promote(api, subject, detail.models[0]?.name ?? '');
  }

  async editTags({ run, api }: ISubject): Promise<void> {
    const { trans } = this.ledger;
    const detail = await this.ledger.attempt(() => api.detail(run));
    if (!detail) {
      return;
    }
    const rows = await askTags(detail.run.name || run, detail.tags, trans);
    const changes = rows ? tagChanges(detail.tags, rows) : {};
    if (!Object.keys(changes).length || !(await this.tag(api, run, changes))) {
      return;
    }
    Notification.success(trans.__('The tags were saved.'), {
      autoClose: SHORTLY,
      actions: [
        {
          label: trans.__('Undo'),
          callback: () => void this.tag(api, run, undone(detail.tags, changes))
        }
      ]
    });
  }

  private async tag(api: Api, run: string, changes: TagChanges): Promise<boolean> {
    return this.done(async () => {
      await api.tag(run, changes);
    });
  }

  async rename({ run, api }: ISubject, before: string, name: string): Promise<boolean> {
    const { trans } = this.ledger;
    const set = (value: string) =>
      this.done(async () => {
        await api.rename(run, value);
      });
    if (!(await set(name))) {
      return false;
    }
    Notification.success(trans.__('The run is called %1 now.', cut(name, 60)), {
      autoClose: SHORTLY,
      actions: [{ label: trans.__('Undo'), callback: () => void set(before) }]
    });
    return true;
  }

  async remove(subject: ISubject): Promise<void> {
    const { trans } = this.ledger;
    const { run, api } = subject;
    const name = cut(this.nameOf(run), 60);
    const sure = await confirm(this.ledger, {
      kind: 'delete',
      words: { run },
      title: trans.__('Delete a run'),
      button: trans.__('Delete')
    });
    if (sure === null) {
      return;
    }
    const gone = await this.done(async () => {
      await api.remove(run);
    });
    if (gone) {
      Notification.success(trans.__('%1 was deleted.', name), {
        autoClose: SHORTLY,
        actions: [{ label: trans.__('Undo'), callback: () => void this.bringBack(subject) }]
      });
    }
  }

  async bringBack({ run, api }: ISubject): Promise<void> {
    const back = await this.done(async () => {
      await api.bringBack(run);
    });
    if (back) {
      Notification.success(this.ledger.trans.__('The run is back.'), { autoClose: SHORTLY });
    }
  }

  private async done(work: () => Promise<void>): Promise<boolean> {
    const answer = await this.ledger.attempt(async () => {
      await work();
      return true;
    });
    return answer === true;
  }

  private nameOf(run: string): string {
    return this.ledger.runs.get(run)?.name ?? run.slice(0, 8);
  }
}
