import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { IEditorServices } from '@jupyterlab/codeeditor';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { Api } from '../api/api';
import { ModelActions } from '../models/actions';
import { Commands, NAME } from '../names';
import { ledgerIcon } from '../shared/icons';
import { cut } from '../shared/text';
import { trusting } from '../shared/trust';
import { ILedger } from '../tokens';
import { RunActions, type ISubject } from './actions';
import { DetailModel } from './model';
import { RunPanel } from './panel';
import { Reproductions } from './reproductions';
import { isTab } from './Tabs';

type Words = ReadonlyPartialJSONObject;

const detailPlugin: JupyterFrontEndPlugin<void> = {
  id: `${NAME}:detail`,
  description: 'Everything recorded of a run, and what can be done with it.',
  autoStart: true,
  requires: [ILedger, IRenderMimeRegistry, IEditorServices],
  optional: [ILayoutRestorer, ICommandPalette, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    ledger: ILedger,
    rendermime: IRenderMimeRegistry,
    editors: IEditorServices,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    translator: ITranslator | null
  ): void => {
    const { commands, shell } = app;
    const { trans } = ledger;
    const reproductions = new Reproductions(ledger, (api, work) =>
      trusting(ledger, api, ledger.trans.__('Trust and reproduce'), work)
    );
    const models = new ModelActions(ledger, commands);
    const actions = new RunActions(ledger, commands, reproductions, models);
    const tracker = new WidgetTracker<MainAreaWidget<RunPanel>>({ namespace: `${NAME}-run` });
    const api = (path: string) => new Api(app.serviceManager.serverSettings, () => path);

    const made = (words: Words): MainAreaWidget<RunPanel> => {
      const path = text(words.path) ?? ledger.path;
      const run = text(words.run) ?? '';
      const content = new RunPanel({
        model: new DetailModel(ledger, api(path), path, run),
        commands,
        actions,
        reproductions,
        lent: { rendermime, editors, translator: translator ?? nullTranslator },
        openNotebook: notebook => {
          const place = ledger.contentsPath(notebook);
          if (place !== null) {
            void commands.execute('docmanager:open', { path: place });
          }
        },
        tab: isTab(words.tab) ? words.tab : 'overview'
      });
      const widget = new MainAreaWidget({ content });
      widget.toolbar.hide();
      widget.id = `${NAME}-run-${run}`;
      widget.title.icon = ledgerIcon;
      widget.title.closable = true;
      const entitle = () => {
        const { detail } = content.model;
        const name = text(detail.value?.run.name) ?? run.slice(0, 8);
        widget.title.label = cut(name, 40);
        widget.title.caption = cut(trans.__('Run %1', name), 200);
      };
      content.model.changed.connect(entitle);
      content.tabChanged.connect(() => void tracker.save(widget));
      entitle();
      return widget;
    };

    const open = async (words: Words): Promise<void> => {
      const asked = text(words.run);
      const run = asked && (ledger.runs.byJournal(asked)?.run_id ?? asked);
      if (!run) {
        return;
      }
      const there = tracker.find(widget => widget.content.model.run === run);
      const widget = there ?? made({ ...words, run });
      if (!there) {
        shell.add(widget, 'main');
        await tracker.add(widget);
      }
      if (isTab(words.tab)) {
        widget.content.choose(words.tab);
      }
      shell.activateById(widget.id);
    };

    /** The run that the command names, else the one whose page is in front. */
    const subject = (words: Words): ISubject | null => {
      const front = tracker.currentWidget;
      const shown = front && front === shell.currentWidget ? front.content.model : null;
      const named = text(words.run);
      const run = named ?? shown?.run;
      const path = text(words.path) ?? (named ? undefined : shown?.path) ?? ledger.path;
      return run ? { run, path, api: api(path) } : null;
    };
    const add = (id: string, label: string, act: (subject: ISubject) => Promise<void>) => {
      commands.addCommand(id, {
        label,
        isEnabled: words => subject(words) !== null,
        execute: async words => {
          const found = subject(words);
          if (found) {
            await act(found);
          }
        }
      });
      palette?.addItem({ command: id, category: NAME });
    };

    commands.addCommand(Commands.openRun, { label: trans.__('Open run'), execute: open });
    add(Commands.reproduce, trans.__('Reproduce run…'), found => actions.reproduce(found));
    add(Commands.promote, trans.__('Promote model of run…'), found => actions.promote(found));
    add(Commands.editTags, trans.__('Edit tags of run…'), found => actions.editTags(found));
    add(Commands.deleteRun, trans.__('Delete run…'), found => actions.remove(found));

    if (restorer) {
      void restorer.restore(tracker, {
        command: Commands.openRun,
        args: ({ content }) => ({
          run: content.model.run,
          path: content.model.path,
          tab: content.tab
        }),
        name: ({ content }) => `${content.model.path}:${content.model.run}`
      });
    }
  }
};

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value ? value : undefined;
}

export const plugins: JupyterFrontEndPlugin<unknown>[] = [detailPlugin];
