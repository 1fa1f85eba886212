import { Notification } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { NotebookActions, type NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import type { ISessionContextDialogs } from '@jupyterlab/apputils';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { Commands } from '../names';
import { cut } from '../shared/text';
import type { ILedger } from '../tokens';
import {
  beginning,
  ending,
  JOURNAL,
  OUTCOME,
  textOf,
  type IPlan,
  type Outcome
} from './kernelWords';

export interface IRunAllOptions {
  readonly ledger: ILedger;
  readonly dialogs: ISessionContextDialogs | null;
  readonly run: (command: string, args: ReadonlyPartialJSONObject) => void;
}

/**
 * Save the notebook and run all its cells as one run. The kernel itself ends the run with the last cell or the first that
 * fails; what is sent beside the cells is silent, so the counts of cells are those of Run All.
 */
export async function runAllTracked(panel: NotebookPanel, options: IRunAllOptions): Promise<void> {
  const { trans } = options.ledger;
  const { sessionContext, content } = panel;
  const plan = planOf(panel);
  if (!plan) {
    Notification.info(trans.__('The notebook has no code to run'), { autoClose: 5000 });
    return;
  }
  if (running.has(panel)) {
    Notification.info(trans.__('%1 is running as a tracked run already', plan.name), {
      autoClose: 5000
    });
    return;
  }
  running.add(panel);
  try {
    const kernel = await kernelOf(panel, options);
    if (!kernel) {
      return;
    }
    await save(panel, options);
    const journal = await begin(kernel, plan, options);
    if (journal === null) {
      return;
    }
    const ran = await NotebookActions.runAll(content, sessionContext, options.dialogs ?? undefined);
    tell(plan.name, journal, await end(kernel, journal, ran), options);
  } finally {
    running.delete(panel);
  }
}

const running = new WeakSet<NotebookPanel>();

/** Null where there is no code. */
export function planOf(panel: NotebookPanel): IPlan | null {
  const cells = [...(panel.content.model?.cells ?? [])].filter(
    cell => cell.type === 'code' && cell.sharedModel.getSource().trim() !== ''
  );
  const last = cells[cells.length - 1]?.id;
  return last === undefined
    ? null
    : {
        name: PathExt.basename(panel.context.localPath, PathExt.extname(panel.context.localPath)),
        last,
        allowed: cells.filter(cell => mayFail(cell.getMetadata('tags'))).map(cell => cell.id)
      };
}

function mayFail(tags: unknown): boolean {
  return Array.isArray(tags) && tags.includes('raises-exception');
}

/** The notebook's kernel, chosen by the user where there is none; null if it cannot record. */
async function kernelOf(
  panel: NotebookPanel,
  { dialogs, ledger }: IRunAllOptions
): Promise<Kernel.IKernelConnection | null> {
  const { sessionContext } = panel;
  await sessionContext.ready;
  if (sessionContext.hasNoKernel && dialogs) {
    await dialogs.selectKernel(sessionContext);
  }
  const kernel = sessionContext.session?.kernel ?? null;
  if (!kernel) {
    return null;
  }
  const { language_info: language } = await kernel.info;
  if (language.name !== 'python') {
    const { trans } = ledger;
    Notification.warning(
      trans.__('Runs are recorded by Python kernels; this one speaks %1', cut(language.name, 40)),
      { autoClose: 8000 }
    );
    return null;
  }
  return kernel;
}

async function save({ context }: NotebookPanel, { ledger }: IRunAllOptions): Promise<void> {
  if (!context.model.dirty || context.contentsModel?.writable === false) {
    return;
  }
  try {
    await context.save();
  } catch (reason) {
    const why = reason instanceof Error ? reason.message : String(reason);
    Notification.warning(
      ledger.trans.__(
        'The notebook could not be saved (%1); its snapshot holds it as last saved',
        cut(why, 200)
      ),
      { autoClose: 8000 }
    );
  }
}

async function begin(
  kernel: Kernel.IKernelConnection,
  plan: IPlan,
  { ledger }: IRunAllOptions
): Promise<string | null> {
  const { trans } = ledger;
  const { reply, said } = await silently(kernel, beginning(plan), {
    journal: JOURNAL
  });
  const journal = reply.status === 'ok' ? textOf(reply.user_expressions.journal) : '';
  if (journal) {
    return journal;
  }
  const missing = reply.status === 'error' && reply.ename === 'ModuleNotFoundError';
  const why = missing
    ? trans.__("nbledger is not installed in this kernel's environment")
    : said || (reply.status === 'error' ? `${reply.ename}: ${reply.evalue}` : reply.status);
  Notification.error(trans.__('The notebook was not run: %1', cut(why.trim(), 500)), {
    autoClose: false
  });
  return null;
}

/**
 * How the run ended, by the kernel. Where the last cell was not executed (it was deleted) it is ended here; where the kernel
 * was restarted or died, it ended with it.
 */
async function end(
  kernel: Kernel.IKernelConnection,
  journal: string,
  ran: boolean
): Promise<Outcome> {
  if (kernel.isDisposed || kernel.status === 'dead') {
    return 'KILLED';
  }
  try {
    const { reply } = await silently(kernel, ending(journal, ran), { outcome: OUTCOME });
    const outcome = reply.status === 'ok' ? textOf(reply.user_expressions.outcome) : '';
    return outcome === 'FINISHED' || outcome === 'FAILED' ? outcome : 'KILLED';
  } catch {
    return 'KILLED';
  }
}

function tell(name: string, journal: string, outcome: Outcome, options: IRunAllOptions): void {
  const { ledger, run } = options;
  const { trans } = ledger;
  const said = {
    FINISHED: trans.__('%1: finished, and recorded as one run', name),
    FAILED: trans.__('%1: a cell failed; the run is recorded as failed', name),
    KILLED: trans.__('%1: interrupted; the run is recorded as killed', name)
  }[outcome];
  Notification.emit(said, outcome === 'FINISHED' ? 'success' : 'warning', {
    autoClose: 8000,
    actions: [
      {
        label: trans.__('Details'),
        callback: () => {
          run(Commands.openRun, { run: ledger.runs.byJournal(journal)?.run_id ?? journal });
        }
      }
    ]
  });
}

interface ISaid {
  readonly reply: KernelMessage.IExecuteReplyMsg['content'];
  readonly said: string;
}

/** Execute `code` beside the user's cells: no count, no history, no output; what it printed is returned. */
async function silently(
  kernel: Kernel.IKernelConnection,
  code: string,
  expressions: Record<string, string>
): Promise<ISaid> {
  const future = kernel.requestExecute({
    code,
    silent: true,
    store_history: false,
    user_expressions: expressions,
    allow_stdin: false,
    stop_on_error: false
  });
  let said = '';
  future.onIOPub = (message: KernelMessage.IIOPubMessage) => {
    if (message.header.msg_type === 'stream') {
      said += (message as KernelMessage.IStreamMsg).content.text;
    }
  };
  const reply = await future.done;
  return { reply: reply.content, said };
}
