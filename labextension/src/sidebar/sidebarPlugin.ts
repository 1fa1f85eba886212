import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { IDefaultFileBrowser } from '@jupyterlab/filebrowser';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { IStateDB } from '@jupyterlab/statedb';
import { IStatusBar } from '@jupyterlab/statusbar';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyJSONObject } from '@lumino/coreutils';

import { Commands, Ids, NAME } from '../names';
import { badgeOf } from '../shared/badge';
import { ILedger, ILedgerSidebar, type ISection } from '../tokens';
import { addCommands } from './commands';
import { Deeds } from './deeds';
import type { IHands } from './hands';
import { LedgerPanel, type Open } from './panel';
import { Settings } from './settings';
import { StateSection } from './stateSection';
import { StatusBadge } from './statusBadge';
import { Summary } from './summary';

const OPEN = `${NAME}:sections`;
/** After the file browser (100) and the running sessions (200), before the table of contents (400). */
const RANK = 250;

export const sidebarPlugin: JupyterFrontEndPlugin<ILedgerSidebar> = {
  id: `${NAME}:sidebar`,
  description: 'The sidebar of nbledger.',
  autoStart: true,
  provides: ILedgerSidebar,
  requires: [ILedger],
  optional: [
    ITranslator,
    ILayoutRestorer,
    IStateDB,
    ICommandPalette,
    ISettingRegistry,
    IStatusBar,
    IDefaultFileBrowser
  ],
  activate: (
    app: JupyterFrontEnd,
    ledger: ILedger,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    database: IStateDB | null,
    palette: ICommandPalette | null,
    registry: ISettingRegistry | null,
    statusBar: IStatusBar | null,
    files: IDefaultFileBrowser | null
  ): ILedgerSidebar => {
    const panel = new LedgerPanel(
      translator ?? nullTranslator,
      new Summary(ledger, () => void app.commands.execute(Commands.refresh))
    );
    app.shell.add(panel, 'left', { rank: RANK, type: NAME });
    restorer?.add(panel, Ids.sidebar);
    markTab(panel, ledger);
    const settings = new Settings();
    const deeds = new Deeds(ledger, (command, args) => void app.commands.execute(command, args));
    const sidebar = new Sidebar(app, panel, database);
    const section = new StateSection(ledger, hands(app, ledger, deeds, settings));
    settings.changed.connect(() => {
      section.update();
    });
    sidebar.add(section, 0, { open: true });
    const show = () => {
      sidebar.reveal(section);
    };
    addCommands({ app, ledger, deeds, palette, files, show });
    if (statusBar) {
      addBadge(statusBar, ledger, settings, show);
    }
    const known = registry ? settings.follow(registry) : Promise.resolve();
    void Promise.all([known, app.restored]).then(() => {
      if (settings.openAtStart) {
        app.shell.activateById(panel.id);
      }
    });
    return sidebar;
  }
};

function hands(app: JupyterFrontEnd, ledger: ILedger, deeds: Deeds, settings: Settings): IHands {
  return {
    commands: app.commands,
    get most() {
      return settings.mostListed;
    },
    run: (command, args) => {
      if (app.commands.hasCommand(command)) {
        void ledger.attempt(() => app.commands.execute(command, args));
      }
    },
    stop: job => void deeds.stop(job),
    open: path => {
      const served = ledger.contentsPath(path);
      if (served !== null) {
        void ledger.attempt(() => open(app, served));
      }
    }
  };
}

/** Open a file, or show a folder in the file browser. */
function open(app: JupyterFrontEnd, path: string): Promise<unknown> {
  const bare = path.replace(/\/+$/, '');
  return app.commands.execute(
    app.commands.hasCommand('filebrowser:open-path') ? 'filebrowser:open-path' : 'docmanager:open',
    { path: bare }
  ) as Promise<unknown>;
}

function addBadge(bar: IStatusBar, ledger: ILedger, settings: Settings, show: () => void): void {
  bar.registerStatusItem(`${NAME}:badge`, {
    item: new StatusBadge(ledger, show),
    align: 'left',
    rank: 5,
    isActive: () => settings.statusBarBadge,
    activeStateChanged: settings.changed
  });
}

/** The tab of the sidebar carries the badge. */
function markTab(panel: LedgerPanel, ledger: ILedger): void {
  const mark = () => {
    const sum = badgeOf(ledger);
    panel.title.caption = ['nbledger', sum.text].join('\n');
    panel.title.dataset = { ...panel.title.dataset, 'nbl-badge': sum.kind };
  };
  ledger.state.changed.connect(mark);
  ledger.unsaved.changed.connect(mark);
  mark();
}

class Sidebar implements ILedgerSidebar {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly panel: LedgerPanel,
    private readonly database: IStateDB | null
  ) {
    this.remembered = database ? remembered(database) : Promise.resolve({});
    void this.remembered.then(() => {
      panel.openChanged.connect((_, open) => {
        this.save(open);
      });
    });
  }

  add(section: ISection, rank: number, options: { readonly open?: boolean } = {}): void {
    this.panel.insert(section, rank, options.open ?? false);
    void this.remembered.then(open => {
      const wanted = open[section.id];
      if (wanted !== undefined) {
        this.panel.setOpen(section, wanted);
      }
    });
  }

  reveal(section: ISection): void {
    this.app.shell.activateById(this.panel.id);
    this.panel.setOpen(section, true);
    section.activate();
  }

  private save(open: Open): void {
    // A section whose plugin did not add it yet keeps what was remembered of it.
    void this.remembered.then(before => {
      const all: Open = { ...before, ...open };
      this.remembered = Promise.resolve(all);
      return this.database?.save(OPEN, all);
    });
  }

  private remembered: Promise<Open>;
}

async function remembered(database: IStateDB): Promise<Open> {
  try {
    const saved = (await database.fetch(OPEN)) as ReadonlyJSONObject | undefined;
    const known = Object.entries(saved ?? {}).filter(([, open]) => typeof open === 'boolean');
    return Object.fromEntries(known) as Open;
  } catch {
    return {}; // a workspace of another version
  }
}
