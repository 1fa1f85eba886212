import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, WidgetTracker } from '@jupyterlab/apputils';
import { IStateDB } from '@jupyterlab/statedb';

import { Commands, NAME } from '../names';
import { ledgerIcon } from '../shared/icons';
import { copied } from '../shared/copy';
import { ILedger, ILedgerSidebar } from '../tokens';
import { RunsModel, type IKeeps } from './model/model';
import { RunsPanel } from './RunsPanel';
import { RunsSection } from './RunsSection';
import { IRunTables } from './tokens';

/** Below the state of the project. */
const RANK = 10;

const runsPlugin: JupyterFrontEndPlugin<IRunTables> = {
  id: `${NAME}:runs`,
  description: 'The table of runs.',
  autoStart: true,
  provides: IRunTables,
  requires: [ILedger],
  optional: [ILedgerSidebar, IStateDB, ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    ledger: ILedger,
    sidebar: ILedgerSidebar | null,
    database: IStateDB | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ): IRunTables => {
    const { commands } = app;
    const keeps: IKeeps = database ?? NOWHERE;
    const table = new RunsModel(ledger, keeps, 'runs');
    const tables = { table, current: table };
    const used = (model: RunsModel): void => {
      model.changed.connect((_, change) => {
        if (change === 'look') {
          tables.current = model;
        }
      });
    };
    used(table);
    if (sidebar) {
      const compact = new RunsModel(ledger, keeps, 'runs-sidebar');
      used(compact);
      sidebar.add(new RunsSection({ model: compact, commands }), RANK, { open: true });
    }
    addTable(app, table, palette, restorer);
    return tables;
  }
};

/** Without a state database nothing is remembered. */
const NOWHERE: IKeeps = {
  fetch: () => Promise.resolve(undefined),
  save: () => Promise.resolve()
};

function addTable(
  app: JupyterFrontEnd,
  model: RunsModel,
  palette: ICommandPalette | null,
  restorer: ILayoutRestorer | null
): void {
  const { commands } = app;
  const { trans } = model.ledger;
  const tracker = new WidgetTracker<RunsPanel>({ namespace: `${NAME}-runs` });
  let panel: RunsPanel | null = null;
  commands.addCommand(Commands.openRuns, {
    label: trans.__('Open runs'),
    caption: trans.__('Open the table of runs'),
    icon: ledgerIcon,
    execute: async () => {
      if (!panel || panel.isDisposed) {
        panel = new RunsPanel({ model, commands });
      }
      if (!panel.isAttached) {
        app.shell.add(panel, 'main', { type: 'Runs' });
        await tracker.add(panel);
      }
      app.shell.activateById(panel.id);
    }
  });
  commands.addCommand(Commands.copyRunId, {
    label: trans.__('Copy id'),
    execute: args => copied(args.run as string)
  });
  palette?.addItem({ command: Commands.openRuns, category: NAME });
  if (restorer) {
    void restorer.restore(tracker, { command: Commands.openRuns, name: () => 'runs' });
  }
}

export const plugins: JupyterFrontEndPlugin<unknown>[] = [runsPlugin];
