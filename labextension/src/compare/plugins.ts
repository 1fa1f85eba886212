import {
  ILayoutRestorer,
  type JupyterFrontEnd,
  type JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { Api } from '../api/api';
import { Commands, NAME } from '../names';
import { IRunTables } from '../runs/tokens';
import { ledgerIcon } from '../shared/icons';
import { cut } from '../shared/text';
import { ILedger } from '../tokens';
import { ComparePanel } from './ComparePanel';
import { openInMlflow } from './mlflow';
import { CompareModel, PRESENT } from './model';

type Words = ReadonlyPartialJSONObject;

const comparePlugin: JupyterFrontEndPlugin<void> = {
  id: `${NAME}:compare`,
  description: 'How runs differ, and why.',
  autoStart: true,
  requires: [ILedger, IRunTables, IRenderMimeRegistry],
  optional: [ICommandPalette, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    ledger: ILedger,
    tables: IRunTables,
    rendermime: IRenderMimeRegistry,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const { commands, shell } = app;
    const { trans } = ledger;
    const tracker = new WidgetTracker<MainAreaWidget<ComparePanel>>({
      namespace: `${NAME}-compare`
    });
    const routes = (path: string) => new Api(app.serviceManager.serverSettings, () => path);
    let made = 0;

    const panel = (
      names: readonly string[],
      path: string,
      id: string | null
    ): MainAreaWidget<ComparePanel> => {
      const model = new CompareModel(ledger, routes(path), path, names, tables.table);
      const content = new ComparePanel({ model, commands, rendermime });
      const widget = new MainAreaWidget({ content });
      widget.toolbar.hide();
      made += 1;
      // A tab that comes back after a reload bears its old id: by that the layout knows where it stood.
      widget.id = id ?? `${NAME}-compare-${Date.now().toString(36)}-${made}`;
      widget.title.icon = ledgerIcon;
      widget.title.closable = true;
      const entitle = (): void => {
        widget.title.label = cut(model.title, 60);
        widget.title.caption = cut(trans.__('Comparison of %1', model.title), 300);
        void tracker.save(widget);
      };
      model.changed.connect(entitle);
      entitle();
      return widget;
    };

    commands.addCommand(Commands.compare, {
      label: words => {
        const names = asked(words, tables);
        return names.length === 2 && names.includes(PRESENT)
          ? trans.__('Compare with now')
          : names.length > 1
            ? trans.__('Compare %1 runs', names.length)
            : trans.__('Compare runs');
      },
      icon: ledgerIcon,
      isEnabled: words => asked(words, tables).length > 1,
      execute: async words => {
        const names = asked(words, tables);
        if (names.length < 2) {
          return;
        }
        const path = typeof words.path === 'string' ? words.path : ledger.path;
        const widget = panel(names, path, typeof words.id === 'string' ? words.id : null);
        shell.add(widget, 'main', { type: 'Compare' });
        await tracker.add(widget);
        shell.activateById(widget.id);
      }
    });
    commands.addCommand(Commands.openInMlflow, {
      label: trans.__('Open in MLflow'),
      isEnabled: words => ledger.state.value !== null || typeof words.path === 'string',
      execute: words => {
        const { path, run } = words;
        const elsewhere = typeof path === 'string' && path !== ledger.path ? routes(path) : null;
        return openInMlflow(ledger, typeof run === 'string' ? [run] : texts(words.runs), elsewhere);
      }
    });
    [Commands.compare, Commands.openInMlflow].forEach(command => {
      palette?.addItem({ command, category: NAME });
    });
    if (restorer) {
      void restorer.restore(tracker, {
        command: Commands.compare,
        args: ({ id, content: { model } }) => ({ id, runs: [...model.names], path: model.path }),
        name: ({ id }) => id
      });
    }
  }
};

/** The runs that a command names; without any those that are selected, one of them beside the present. */
function asked(words: Words, tables: IRunTables): readonly string[] {
  const named = texts(words.runs);
  if (named.length) {
    return named;
  }
  const { selected } = tables.current;
  return selected.length === 1 ? [...selected, PRESENT] : selected;
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : [];
}

export const plugins: JupyterFrontEndPlugin<unknown>[] = [comparePlugin];
