import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget } from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import { IDefaultFileBrowser, IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { LabIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

import { Api } from '../api/api';
import { Commands, NAME } from '../names';
import { diffIcon, trackIcon, versionsIcon } from '../shared/icons';
import { cut } from '../shared/text';
import { ILedger } from '../tokens';
import { Decoration } from './decoration';
import { DiffView } from './DiffView';
import { LargeFiles } from './largeFiles';
import { differs, selectedIn, subjectIn, trackable, trackedAt } from './selection';
import { VersionsView } from './Versions';

const ID = `${NAME}:files`;
/** Of the context menu only: the same as `track`, shown where there is something to track. */
const TRACK_SELECTED = `${NAME}:track-selected`;

/** What nbledger adds to files: marks in the file browser, versions, what changed, and a word on files too large for Git. */
export const filesPlugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Marks on versioned data, its versions, and what changed in a file.',
  autoStart: true,
  requires: [ILedger, IRenderMimeRegistry],
  optional: [IFileBrowserFactory, IDefaultFileBrowser, ISettingRegistry, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    ledger: ILedger,
    rendermime: IRenderMimeRegistry,
    factory: IFileBrowserFactory | null,
    files: IDefaultFileBrowser | null,
    registry: ISettingRegistry | null,
    palette: ICommandPalette | null
  ): void => {
    const { trans } = ledger;
    const run = (command: string, args: ReadonlyPartialJSONObject) => {
      if (app.commands.hasCommand(command)) {
        void ledger.attempt(() => app.commands.execute(command, args));
      }
    };
    /** The tab stays with the project that it was opened for. */
    const api = (project: string) => new Api(app.serviceManager.serverSettings, () => project);
    const open = (
      id: string,
      title: string,
      caption: string,
      icon: LabIcon,
      made: () => Widget
    ) => {
      const there = [...app.shell.widgets('main')].find(widget => widget.id === id);
      if (!there) {
        const widget = new MainAreaWidget({ content: made() });
        widget.toolbar.hide();
        widget.id = id;
        widget.title.icon = icon;
        widget.title.closable = true;
        widget.title.label = cut(title, 60);
        widget.title.caption = cut(caption, 400);
        app.shell.add(widget, 'main');
      }
      app.shell.activateById(id);
    };
    const subject = subjectIn(ledger, factory, files);
    const selected = selectedIn(ledger, factory, files);
    const state = () => ledger.state.value;

    app.commands.addCommand(Commands.versions, {
      label: trans.__('Show versions'),
      caption: trans.__('The versions of this data, and the way back to each'),
      icon: versionsIcon,
      isEnabled: args => subject(args) !== null,
      isVisible: args => {
        const path = subject(args);
        return path !== null && trackedAt(state(), path) !== null;
      },
      execute: args => {
        const asked = subject(args);
        if (asked !== null) {
          const { path: here } = ledger;
          const project = typeof args.project === 'string' ? args.project : here;
          const path = (project === here ? trackedAt(state(), asked) : null) ?? asked;
          const caption = trans.__('Versions of %1', path);
          const title = trans.__('%1: versions', PathExt.basename(path));
          open(`${NAME}-versions:${project}:${path}`, title, caption, versionsIcon, () => {
            const openRun = (id: string) => {
              run(Commands.openRun, { run: id, path: project });
            };
            return new VersionsView({ ledger, api: api(project), path, openRun });
          });
        }
      }
    });
    app.commands.addCommand(Commands.diff, {
      label: trans.__('Show what changed'),
      caption: trans.__('This file beside the last commit'),
      icon: diffIcon,
      isEnabled: args => subject(args) !== null,
      isVisible: args => {
        const path = subject(args);
        return path !== null && (typeof args.path === 'string' || differs(state(), path));
      },
      execute: args => {
        const path = subject(args);
        if (path !== null) {
          const caption = trans.__('What changed in %1', path);
          const title = trans.__('%1: changes', PathExt.basename(path));
          open(`${NAME}-diff:${ledger.path}:${path}`, title, caption, diffIcon, () => {
            return new DiffView({ ledger, api: api(ledger.path), rendermime, path });
          });
        }
      }
    });
    app.commands.addCommand(TRACK_SELECTED, {
      label: trans.__('Track with DVC…'),
      caption: trans.__('Version it with DVC and commit its pointer'),
      icon: trackIcon,
      isVisible: () => trackable(state(), selected()).length > 0,
      execute: () => {
        run(Commands.track, { paths: [...trackable(state(), selected())] });
      }
    });
    [Commands.versions, Commands.diff].forEach(command => {
      palette?.addItem({ command, category: NAME });
    });

    const decoration = factory ? new Decoration(ledger, factory.tracker) : null;
    const large = new LargeFiles(ledger, run);
    void followed(registry, (marks, notices) => {
      if (decoration) {
        decoration.enabled = marks;
      }
      large.enabled = notices;
    });
  }
};

/** The settings, now and whenever they change. */
async function followed(
  registry: ISettingRegistry | null,
  apply: (marks: boolean, notices: boolean) => void
): Promise<void> {
  try {
    const settings = await registry?.load(ID);
    const look = () => {
      apply(
        settings?.get('fileMarks').composite !== false,
        settings?.get('largeFileNotices').composite !== false
      );
    };
    settings?.changed.connect(look);
    look();
  } catch (reason) {
    console.warn('nbledger: settings could not be read, defaults are used', reason);
    apply(true, true);
  }
}
