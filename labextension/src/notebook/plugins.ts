import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { PageConfig } from '@jupyterlab/coreutils';
import type { INotebookModel } from '@jupyterlab/notebook';

import { Batches } from './batches';
import { executorPlugin } from './executor';
import { notebookPlugin } from './notebookPlugin';
import { savePlugin } from './save';
import { DEFAULT_EXECUTOR, type IShared } from './tokens';

function made(): JupyterFrontEndPlugin<unknown>[] {
  const shared: IShared = {
    batches: new Batches<INotebookModel>(
      (model, sources) => shared.saver?.prepare(model, sources) ?? null
    ),
    saver: null
  };
  // Someone else switched the default executor off to run the cells in their own way: leave them to it.
  const inCharge = !PageConfig.Extension.isDisabled(DEFAULT_EXECUTOR);
  const save = savePlugin(shared, inCharge);
  return [...(inCharge ? [executorPlugin(shared)] : []), save, notebookPlugin];
}

export const plugins = made();
