import { Notification } from '@jupyterlab/apputils';
import type { CommandRegistry } from '@lumino/commands';

import type { Api } from '../api/api';
import type { IApproved, IModel, IServing, IWaiting } from '../api/types';
import { Commands } from '../names';
import { confirm } from '../shared/confirm';
import { cut } from '../shared/text';
import { trusting } from '../shared/trust';
import type { ILedger } from '../tokens';
import { askDeploy, askDrift, askRollback, driftWords } from './dialogs';
import { askPromote, type IPromoteOptions } from './PromoteDialog';
import { gatedWords, isGated } from './promotion';
import { Asked } from './Waiting';

const SHORTLY = 8_000;
const LONG = 16_000;

/** What can be done with registered models. Each says first what it would do, and asks; then it says what was done. */
export class ModelActions {
  constructor(
    private readonly ledger: ILedger,
    private readonly commands: CommandRegistry
  ) {}

  /** Promote a run's model; `run` as the page of a run knows it, without one it is chosen. */
  async promote(api: Api, run: IPromoteOptions['run'] | null, model: string): Promise<void> {
    const { ledger } = this;
    const { trans } = ledger;
    const known = await ledger.attempt(() => api.models());
    if (!known) {
      return;
    }
    const wanted = await askPromote({
      ...(run ? { run } : {}),
      runs: ledger.runs.list,
      model,
      known,
      api,
      trans
    });
    if (!wanted) {
      return;
    }
    const [name, alias] = [wanted.model.trim(), wanted.alias.trim()];
    if (!isGated(wanted, known)) {
      const done = await ledger.attempt(() =>
        api.promote(wanted.run.trim(), name, alias, wanted.logged)
      );
      if (done) {
        this.registered(api, name, alias, done.version, done.previous);
      }
      return;
    }
    const done = await ledger.attempt(() => api.promoteIf(gatedWords(wanted, known)));
    if (!done) {
      return;
    }
    const show = {
      label: trans.__('Show'),
      callback: () =>
        void this.commands.execute(Commands.openModels, {
          model: name,
          ...(done.version ? { version: done.version } : {})
        })
    };
    if (done.pending) {
      Notification.info(
        trans.__(
          '%1 version %2 passed the gate and waits for approval.',
          cut(name, 40),
          done.version ?? ''
        ),
        { autoClose: LONG, actions: [show] }
      );
    } else if (done.passed) {
      Notification.success(
        trans.__('%1 version %2 is @%3.', cut(name, 40), done.version ?? '', cut(alias, 20)),
        {
          autoClose: SHORTLY,
          actions: [
            show,
            {
              label: trans.__('Roll back'),
              callback: () => void this.rollBackTo(name, alias, null)
            }
          ]
        }
      );
    } else {
      const why = cut(done.denials.map(denial => denial.text).join('\n'), 600);
      Notification.warning(trans.__('The gate refused: %1', why), {
        autoClose: false,
        actions: [show]
      });
    }
  }

  async rollback(model: IModel): Promise<void> {
    const { ledger } = this;
    const wanted = await askRollback(model, { api: ledger.api, trans: ledger.trans });
    if (wanted) {
      await this.rollBackTo(model.name, wanted.alias, wanted.to || null);
    }
  }

  async approve(one: IWaiting): Promise<void> {
    const { ledger } = this;
    const { trans } = ledger;
    const text = await confirm(ledger, {
      kind: 'approve',
      words: { model: one.model, version: one.version },
      title: trans.__('Approve a promotion'),
      button: trans.__('Approve'),
      ask: { label: trans.__('A word about it, kept in the record') },
      children: <Asked one={one} commands={null} trans={trans} />
    });
    if (text === null) {
      return;
    }
    const done = await ledger.attempt(() =>
      ledger.api.approve(one.model, one.version, text.trim())
    );
    if (done) {
      this.answered(done, one);
    }
  }

  async refuse(one: IWaiting): Promise<void> {
    const { ledger } = this;
    const { trans } = ledger;
    const text = await confirm(ledger, {
      kind: 'refuse',
      words: { model: one.model, version: one.version },
      title: trans.__('Refuse a promotion'),
      button: trans.__('Refuse'),
      ask: { label: trans.__('Why? It is kept in the record'), required: true },
      children: <Asked one={one} commands={null} trans={trans} />
    });
    if (text === null) {
      return;
    }
    const done = await ledger.attempt(() =>
      ledger.api.approve(one.model, one.version, text.trim(), true)
    );
    if (done) {
      this.answered(done, one);
    }
  }

  /** What came of an approval or a refusal, and why. */
  private answered(done: IApproved, one: IWaiting): void {
    const { trans } = this.ledger;
    const { model, version, alias, needed } = one;
    const approved = done.pending.approved;
    const what = trans.__('%1 version %2', cut(model, 40), version);
    const words: Readonly<Record<string, string>> = {
      approved: trans.__('%1 is @%2.', what, cut(alias, 20)),
      counted: trans.__('%1: %2 of %3 have approved.', what, approved.length, needed),
      refused: trans.__('%1 is refused.', what),
      expired: trans.__('%1 waits no more: it expired.', what),
      moved: trans.__('%1 is not promoted: @%2 was moved meanwhile.', what, cut(alias, 20)),
      promoted: trans.__('%1 waits no more: @%2 points at it already.', what, cut(alias, 20)),
      denied: trans.__('That is no approval of %1.', what)
    };
    const said = [words[done.outcome] ?? done.outcome, ...done.reasons, ...done.notes].join('\n');
    const good = done.outcome === 'approved' || done.outcome === 'counted';
    Notification.emit(cut(said, 600), good ? 'success' : 'warning', { autoClose: LONG });
  }

  async deploy(model: IModel, version: string, port: number | null): Promise<void> {
    const { ledger } = this;
    const { api, trans } = ledger;
    const wanted = await askDeploy(model, version, port, { api, trans });
    if (!wanted) {
      return;
    }
    await ledger.attempt(() =>
      trusting(ledger, api, trans.__('Trust and deploy'), words =>
        api.start('deploy', {
          model: model.name,
          version: wanted.version,
          ...(wanted.port ? { port: wanted.port } : {}),
          ...words
        })
      )
    );
  }

  async stopServing(one: IServing): Promise<void> {
    const { ledger } = this;
    const { trans } = ledger;
    const sure = await confirm(ledger, {
      kind: 'undeploy',
      words: { model: one.model },
      title: trans.__('Stop serving'),
      button: trans.__('Stop')
    });
    if (sure === null) {
      return;
    }
    const done = await ledger.attempt(() => ledger.api.undeploy(one.model));
    if (done) {
      Notification.info(trans.__('%1 is served no longer.', cut(one.model, 60)), {
        autoClose: SHORTLY
      });
    }
  }

  async drift(model: IModel, version: string): Promise<void> {
    const { ledger } = this;
    const { api, trans } = ledger;
    const files = (ledger.state.value?.data.tracked ?? [])
      .filter(one => !one.folder)
      .map(one => one.path);
    const wanted = await askDrift(model, model.aliases.champion ?? version, files, { api, trans });
    if (!wanted) {
      return;
    }
    await ledger.attempt(() =>
      trusting(ledger, api, trans.__('Trust and compare'), words =>
        api.start('drift', { ...driftWords(model.name, wanted), ...words })
      )
    );
  }

  private async rollBackTo(model: string, alias: string, to: string | null): Promise<void> {
    const { ledger } = this;
    const { trans } = ledger;
    const done = await ledger.attempt(() => ledger.api.rollback(model, alias, to));
    if (done) {
      Notification.success(
        trans.__(
          '@%1 of %2 points at version %3 again.',
          cut(alias, 20),
          cut(model, 40),
          done.version
        ),
        { autoClose: SHORTLY }
      );
    }
  }

  /** Without a gate: what moved can be moved back. The version stays registered, as MLflow's registry is a record. */
  private registered(
    api: Api,
    model: string,
    alias: string,
    version: string,
    previous: string | null
  ): void {
    const { trans } = this.ledger;
    const said = alias
      ? trans.__('%1 version %2 is @%3.', cut(model, 40), version, cut(alias, 20))
      : trans.__('%1 version %2 was registered.', cut(model, 40), version);
    Notification.success(said, {
      autoClose: SHORTLY,
      actions: [
        {
          label: trans.__('Show'),
          callback: () => void this.commands.execute(Commands.openModels, { model, version })
        },
        ...(alias
          ? [
              {
                label: trans.__('Undo'),
                callback: () => void this.moveBack(api, model, alias, previous)
              }
            ]
          : [])
      ]
    });
  }

  private async moveBack(
    api: Api,
    model: string,
    alias: string,
    previous: string | null
  ): Promise<void> {
    const { trans } = this.ledger;
    const done = await this.ledger.attempt(() => api.alias(model, alias, previous));
    if (done) {
      Notification.info(
        previous === null
          ? trans.__('@%1 points at nothing again. The version stays registered.', cut(alias, 20))
          : trans.__(
              '@%1 points at version %2 again. The new version stays registered.',
              cut(alias, 20),
              previous
            ),
        { autoClose: SHORTLY }
      );
    }
  }
}
