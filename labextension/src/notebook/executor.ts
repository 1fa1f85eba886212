import type { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookCellExecutor, runCell } from '@jupyterlab/notebook';

import { EXECUTOR_ID, type IShared } from './tokens';

/**
 * JupyterLab's way of running a cell, with a look at the batch before it is sent.
 *
 * It takes the place of the default by being registered after it. The default is not listed under
 * `disabledExtensions`: with this plugin switched off, JupyterLab falls back to it.
 */
export function executorPlugin(shared: IShared): JupyterFrontEndPlugin<INotebookCellExecutor> {
  return {
    id: EXECUTOR_ID,
    description:
      'Runs notebook cells; cells that nbledger records wait until the notebook is saved.',
    autoStart: true,
    provides: INotebookCellExecutor,
    activate: () =>
      Object.freeze({
        runCell: (options: INotebookCellExecutor.IRunCellOptions) => {
          const { cell, notebook } = options;
          if (cell.model.type !== 'code') {
            return runCell(options);
          }
          const source = cell.model.sharedModel.getSource();
          const send = () => (cell.isDisposed ? Promise.resolve(false) : runCell(options));
          return shared.batches.run(notebook, { source, send });
        }
      })
  };
}
