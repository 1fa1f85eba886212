import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookActions, type INotebookModel } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';

import { Saver } from './saver';
import { SAVE_ID, SAVE_SETTING, type IShared } from './tokens';

/**
 * Saves the notebook before a tracked run.
 *
 * Where another extension runs the cells (`inCharge` is false, as with real-time collaboration), the save is
 * started when the cell is scheduled and not waited for.
 */
export function savePlugin(shared: IShared, inCharge: boolean): JupyterFrontEndPlugin<void> {
  return {
    id: SAVE_ID,
    description: 'Saves the notebook before a run that nbledger records.',
    autoStart: true,
    requires: [INotebookTracker],
    optional: [ISettingRegistry],
    activate: (
      _: JupyterFrontEnd,
      tracker: INotebookTracker,
      registry: ISettingRegistry | null
    ): void => {
      const saver = new Saver<INotebookModel>({
        find: model => tracker.find(panel => panel.context.model === model)?.context,
        warn: message => Notification.warning(message, { autoClose: 8000 })
      });
      shared.saver = saver;
      if (!inCharge) {
        NotebookActions.executionScheduled.connect((_, { notebook, cell }) => {
          if (notebook.model) {
            void saver.prepare(notebook.model, [cell.model.sharedModel.getSource()]);
          }
        });
      }
      if (registry) {
        void follow(registry, saver);
      }
    }
  };
}

async function follow(registry: ISettingRegistry, saver: Saver<INotebookModel>): Promise<void> {
  try {
    const settings = await registry.load(SAVE_ID);
    const apply = () => {
      saver.enabled = settings.get(SAVE_SETTING).composite !== false;
    };
    settings.changed.connect(apply);
    apply();
  } catch (reason) {
    console.warn('nbledger: settings could not be read, defaults are used', reason);
  }
}
