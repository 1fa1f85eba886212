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
import { PipelinePage, type IPipelineView, type IWanted } from './PipelinePage';
import { PipelineSection } from './PipelineSection';

const RANK = 30;

const pipelinePlugin: JupyterFrontEndPlugin<void> = {
  id: `${NAME}:pipeline`,
  description: 'The stages of dvc.yaml, and which of them are stale.',
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
    const wanted: IWanted = { stage: null };
    const wantedChanged = new Signal<object, void>({});
    const pipeline = new Kept(ledger, ['pipeline'], () => ledger.api.pipeline());
    const view: IPipelineView = { ledger, pipeline, commands, wanted, wantedChanged };

    const section = new KeptWidget(pipeline, createElement(PipelineSection, view));
    section.id = Ids.pipeline;
    section.title.label = trans.__('Pipeline');
    section.addClass('nbl-section');
    sidebar.add(section, RANK);

    const tracker = new WidgetTracker<MainAreaWidget>({ namespace: `${NAME}-pipeline` });
    commands.addCommand(Commands.openPipeline, {
      label: trans.__('Open pipeline'),
      execute: async words => {
        wanted.stage = typeof words.stage === 'string' ? words.stage : null;
        wantedChanged.emit();
        let page = tracker.currentWidget;
        if (!page) {
          const content = new KeptWidget(pipeline, createElement(PipelinePage, view));
          content.addClass('nbl-pipeline');
          page = new MainAreaWidget({ content });
          page.toolbar.hide();
          page.id = `${NAME}-pipeline-page`;
          page.title.label = trans.__('Pipeline');
          page.title.icon = ledgerIcon;
          shell.add(page, 'main');
          await tracker.add(page);
        }
        shell.activateById(page.id);
      }
    });
    palette?.addItem({ command: Commands.openPipeline, category: NAME });
    if (restorer) {
      void restorer.restore(tracker, { command: Commands.openPipeline, name: () => 'pipeline' });
    }
  }
};

export const plugins: JupyterFrontEndPlugin<unknown>[] = [pipelinePlugin];
