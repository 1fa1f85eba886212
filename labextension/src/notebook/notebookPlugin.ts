import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import {
  ICommandPalette,
  ISessionContextDialogs,
  IToolbarWidgetRegistry
} from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { LabIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { Commands, NAME } from '../names';
import { ILedger } from '../tokens';
import { Marks } from './marks';
import { runAllTracked } from './runAll';
import { ToolbarBadge } from './toolbar';

const ID = `${NAME}:notebook`;

/** Two triangles as in Run All, and the ledger's tick. */
const runAllIcon = new LabIcon({
  name: `${NAME}:run-all-tracked`,
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><g class="jp-icon3" fill="#616161"><path d="M3 5v11l8-5.5zM12 5v6.500l4.500-1.100 3.500.1z"/><path d="M15.500 21.500 11 17l1.600-1.600 2.900 2.900 6-6L23 13.900z"/></g></svg>`
});

/** What nbledger adds to notebooks: marks on cells, a badge and *Run all, tracked* in the toolbar. */
export const notebookPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Marks on the cells that are runs, and a notebook run as one run.',
  autoStart: true,
  requires: [ILedger, INotebookTracker],
  optional: [ISettingRegistry, IToolbarWidgetRegistry, ISessionContextDialogs, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    ledger: ILedger,
    tracker: INotebookTracker,
    registry: ISettingRegistry | null,
    toolbars: IToolbarWidgetRegistry | null,
    dialogs: ISessionContextDialogs | null,
    palette: ICommandPalette | null
  ): void => {
    const run = (command: string, args: ReadonlyPartialJSONObject = {}) => {
      if (app.commands.hasCommand(command)) {
        void ledger.attempt(() => app.commands.execute(command, args));
      }
    };
    addRunAll(app, ledger, tracker, dialogs, run);
    palette?.addItem({ command: Commands.runAllTracked, category: NAME });
    toolbars?.addFactory(
      'Notebook',
      'nbledger-badge',
      () =>
        new ToolbarBadge(ledger, () => {
          run(Commands.showSidebar);
        })
    );
    const marks = new Marks(tracker, { ledger, run });
    void followed(registry, on => {
      marks.enabled = on;
    });
  }
};

function addRunAll(
  app: JupyterFrontEnd,
  ledger: ILedger,
  tracker: INotebookTracker,
  dialogs: ISessionContextDialogs | null,
  run: (command: string, args: ReadonlyPartialJSONObject) => void
): void {
  const { trans } = ledger;
  app.commands.addCommand(Commands.runAllTracked, {
    label: trans.__('Run All Cells, Tracked'),
    caption: trans.__('Save the notebook and run all its cells as one recorded run'),
    icon: runAllIcon,
    isEnabled: () => tracker.currentWidget !== null,
    execute: async () => {
      const panel = tracker.currentWidget;
      if (panel) {
        await runAllTracked(panel, { ledger, dialogs, run });
      }
    }
  });
  tracker.currentChanged.connect(() => {
    app.commands.notifyCommandChanged(Commands.runAllTracked);
  });
}

/** The setting `cellMarks`, now and whenever it changes. */
async function followed(
  registry: ISettingRegistry | null,
  marks: (on: boolean) => void
): Promise<void> {
  if (!registry) {
    marks(true);
    return;
  }
  try {
    const settings = await registry.load(ID);
    const apply = () => {
      marks(settings.get('cellMarks').composite !== false);
    };
    settings.changed.connect(apply);
    apply();
  } catch (reason) {
    console.warn('nbledger: settings could not be read, defaults are used', reason);
    marks(true);
  }
}
