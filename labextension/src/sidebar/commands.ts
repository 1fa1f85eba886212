import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { ICommandPalette } from '@jupyterlab/apputils';
import type { FileBrowser } from '@jupyterlab/filebrowser';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { Commands, NAME } from '../names';
import { checkpointIcon, ledgerIcon, trackIcon } from '../shared/icons';
import type { ILedger } from '../tokens';
import type { Deeds } from './deeds';

export interface ICommandOptions {
  readonly app: JupyterFrontEnd;
  readonly ledger: ILedger;
  readonly deeds: Deeds;
  readonly palette: ICommandPalette | null;
  readonly files: FileBrowser | null;
  readonly show: () => void;
}

/** The commands of the sidebar, all in the palette. */
export function addCommands(options: ICommandOptions): void {
  const { app, palette, ledger } = options;
  for (const [command, description] of Object.entries(described(options))) {
    app.commands.addCommand(command, description);
    palette?.addItem({ command, category: NAME });
  }
  ledger.state.changed.connect(() => {
    app.commands.notifyCommandChanged();
  });
}

function described(options: ICommandOptions): Record<string, CommandRegistry.ICommandOptions> {
  return { ...looking(options), ...doing(options) };
}

function looking({ ledger, show }: ICommandOptions) {
  const { trans } = ledger;
  return {
    [Commands.showSidebar]: {
      label: trans.__('Show the ledger'),
      caption: trans.__('Show the sidebar with the state of code, data and runs'),
      icon: ledgerIcon,
      execute: show
    },
    [Commands.refresh]: {
      label: trans.__('Look again'),
      caption: trans.__('Ask again for state, runs and jobs'),
      execute: () => Promise.all([ledger.state.refresh(), ledger.jobs.refresh()])
    }
  };
}

function doing({ ledger, deeds, files }: ICommandOptions) {
  const { trans } = ledger;
  const versioned = () => ledger.state.value?.code.repository ?? false;
  return {
    [Commands.init]: {
      label: trans.__('Set up this folder…'),
      caption: trans.__('Make this folder a Git and DVC repository with a store for runs'),
      isEnabled: () => ledger.state.value !== null,
      execute: () => deeds.init()
    },
    [Commands.saveAll]: {
      label: trans.__('Save the open documents of the project'),
      isEnabled: () => ledger.unsaved.paths.length > 0,
      execute: () => ledger.unsaved.save()
    },
    [Commands.checkpoint]: {
      label: trans.__('Checkpoint…'),
      caption: trans.__('Commit changed code, notebooks and data pointers'),
      icon: checkpointIcon,
      isEnabled: versioned,
      execute: (args: ReadonlyPartialJSONObject) => deeds.checkpoint(pathsIn(args))
    },
    [Commands.undo]: {
      label: trans.__('Undo the last checkpoint…'),
      caption: trans.__('Take the newest commit back; the files stay as they are'),
      isEnabled: () => (ledger.state.value?.code.undo ?? null) !== null,
      execute: () => deeds.undo()
    },
    [Commands.push]: {
      label: trans.__('Push code, data and runs…'),
      caption: trans.__('Push the branch, the data and the snapshots of runs'),
      isEnabled: versioned,
      execute: () => deeds.push()
    },
    [Commands.pull]: {
      label: trans.__('Pull code and data…'),
      caption: trans.__('Fetch the branch and the data that belongs to it'),
      isEnabled: versioned,
      execute: () => deeds.pull()
    },
    [Commands.flush]: {
      label: trans.__('Publish waiting runs'),
      caption: trans.__('Send what waits in the journals to the tracking server'),
      isEnabled: () => ledger.state.value !== null,
      execute: () => deeds.flush()
    },
    [Commands.setRemote]: {
      label: trans.__('Set where data is pushed to…'),
      caption: trans.__("Set DVC's default remote"),
      isEnabled: versioned,
      execute: () => deeds.setRemote()
    },
    [Commands.trust]: {
      label: trans.__('Trust this repository…'),
      caption: trans.__('Let what came with this repository be executed'),
      isEnabled: () => ledger.state.value?.trusted === false,
      execute: () => deeds.trust()
    },
    [Commands.track]: {
      label: trans.__('Track with DVC…'),
      caption: trans.__('Version files or folders with DVC and commit their pointers'),
      icon: trackIcon,
      isEnabled: (args: ReadonlyPartialJSONObject) =>
        versioned() && (pathsIn(args) ?? selected(ledger, files)).length > 0,
      execute: (args: ReadonlyPartialJSONObject) =>
        deeds.track(pathsIn(args) ?? selected(ledger, files))
    }
  };
}

function pathsIn(args: ReadonlyPartialJSONObject): readonly string[] | undefined {
  const { paths } = args;
  return Array.isArray(paths)
    ? paths.filter((path): path is string => typeof path === 'string')
    : undefined;
}

/** What is selected in the file browser, as paths of the project. */
function selected(ledger: ILedger, files: FileBrowser | null): readonly string[] {
  const items = files ? [...files.selectedItems()] : [];
  return items
    .map(item => ledger.projectPath(item.path))
    .filter((path): path is string => path !== null && path !== '');
}
