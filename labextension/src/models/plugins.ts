import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { Signal } from '@lumino/signaling';
import { createElement } from 'react';

import { Commands, Ids, NAME } from '../names';
import { ledgerIcon } from '../shared/icons';
import { Kept } from '../shared/kept';
import { KeptWidget } from '../shared/keptWidget';
import { ILedger, ILedgerSidebar } from '../tokens';
import { ModelActions } from './actions';
import { keepFocus } from './focus';
import { ModelsPage, type IModelsView, type IWanted } from './ModelsPage';
import { ModelsSection } from './ModelsSection';
import { overview } from './overview';
import { show, type Shown } from './shown';

const RANK = 20;

const modelsPlugin: JupyterFrontEndPlugin<void> = {
  id: `${NAME}:models`,
  description: 'Registered models, their versions, and where they come from.',
  autoStart: true,
  requires: [ILedger, ILedgerSidebar],
  optional: [ILayoutRestorer, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    ledger: ILedger,
    sidebar: ILedgerSidebar,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null
  ): void => {
    const { commands, shell } = app;
    const { trans } = ledger;
    const wanted: IWanted = { model: null };
    const shown: Shown = new Map();
    const wantedChanged = new Signal<object, void>({});
    const models = new Kept(ledger, ['models'], () => overview(ledger.api));
    const actions = new ModelActions(ledger, commands);
    const view: IModelsView = {
      ledger,
      models,
      actions,
      commands,
      shown,
      read: new Set(),
      wanted,
      wantedChanged
    };

    const section = new KeptWidget(models, createElement(ModelsSection, view));
    section.id = Ids.models;
    section.title.label = trans.__('Models');
    section.addClass('nbl-section');
    sidebar.add(section, RANK);

    const tracker = new WidgetTracker<MainAreaWidget>({ namespace: `${NAME}-models` });
    commands.addCommand(Commands.openModels, {
      label: trans.__('Open models'),
      execute: async words => {
        const { model, version } = words;
        if (typeof model === 'string') {
          wanted.model = model;
          const chosen = typeof version === 'string' ? { version, part: 'origin' as const } : {};
          show(shown, model, { open: true, ...chosen });
          wantedChanged.emit();
        }
        let page = tracker.currentWidget;
        if (!page) {
          const content = new KeptWidget(models, createElement(ModelsPage, view));
          content.addClass('nbl-models');
          page = new MainAreaWidget({ content });
          content.node.tabIndex = 0; // so that the keyboard scrolls it; the frame has just set it otherwise
          keepFocus(content.node);
          page.toolbar.hide();
          page.id = `${NAME}-models-page`;
          page.title.label = trans.__('Models');
          page.title.icon = ledgerIcon;
          shell.add(page, 'main');
          await tracker.add(page);
        }
        shell.activateById(page.id);
      }
    });
    palette?.addItem({ command: Commands.openModels, category: NAME });
    if (restorer) {
      void restorer.restore(tracker, { command: Commands.openModels, name: () => 'models' });
    }
  }
};

export const plugins: JupyterFrontEndPlugin<unknown>[] = [modelsPlugin];
