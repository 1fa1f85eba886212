import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyJSONObject } from '@lumino/coreutils';

import { Ids, NAME } from '../names';
import { badge } from '../shared/badge';
import { ILedger, ILedgerSidebar, type ISection } from '../tokens';
import { LedgerPanel, type Open } from './panel';
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
  optional: [ITranslator, ILayoutRestorer, IStateDB],
  activate: (
    app: JupyterFrontEnd,
    ledger: ILedger,
    translator: ITranslator | null,
    restorer: ILayoutRestorer | null,
    database: IStateDB | null
  ): ILedgerSidebar => {
    const panel = new LedgerPanel(
      translator ?? nullTranslator,
      new Summary(ledger, () => void ledger.state.refresh())
    );
    app.shell.add(panel, 'left', { rank: RANK, type: NAME });
    restorer?.add(panel, Ids.sidebar);
    markTab(panel, ledger);
    const sidebar = new Sidebar(app, panel, database);
    return sidebar;
  }
};

/** The tab of the sidebar carries the badge. */
function markTab(panel: LedgerPanel, ledger: ILedger): void {
  const mark = () => {
    const { value, problem } = ledger.state;
    const sum = badge(value, ledger.trans, value ? null : problem);
    panel.title.caption = ['nbledger', sum.text].join('\n');
    panel.title.dataset = { ...panel.title.dataset, nblBadge: sum.kind };
  };
  ledger.state.changed.connect(mark);
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
