import type { TranslationBundle } from '@jupyterlab/translation';
import { fileIcon, type LabIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import type { IJob, IProblem } from '../api/types';
import { Commands } from '../names';
import { checkpointIcon, diffIcon, trackIcon, versionsIcon } from '../shared/icons';
import type { Deed, IGroup } from './stateModel';

/** What the section can do: every action is a command of the Lab. */
export interface IHands {
  readonly commands: CommandRegistry;
  /** Lists are cut after this many. */
  readonly most: number;
  run(command: string, args?: ReadonlyPartialJSONObject): void;
  readonly stop: (job: IJob) => void;
  /** Open a file of the project; null where the server does not serve it. */
  open(path: string): void;
}

const COMMAND: Readonly<Record<Deed, string>> = {
  track: Commands.track,
  checkpoint: Commands.checkpoint,
  push: Commands.push,
  pull: Commands.pull,
  flush: Commands.flush,
  undo: Commands.undo,
  diff: Commands.diff,
  versions: Commands.versions,
  pipeline: Commands.openPipeline,
  init: Commands.init,
  remote: Commands.setRemote,
  trust: Commands.trust,
  save: Commands.saveAll
};

const ICON: Partial<Record<Deed, LabIcon>> = {
  track: trackIcon,
  checkpoint: checkpointIcon,
  diff: diffIcon,
  versions: versionsIcon
};

export function iconOf(deed: Deed): LabIcon {
  return ICON[deed] ?? fileIcon;
}

/** A verb for a button; … where a dialog follows. */
export function verb(deed: Deed, trans: TranslationBundle): string {
  switch (deed) {
    case 'track':
      return trans.__('Track…');
    case 'checkpoint':
      return trans.__('Checkpoint…');
    case 'push':
      return trans.__('Push…');
    case 'pull':
      return trans.__('Pull…');
    case 'flush':
      return trans.__('Publish');
    case 'undo':
      return trans.__('Undo…');
    case 'diff':
      return trans.__('Show what changed');
    case 'versions':
      return trans.__('Show versions');
    case 'pipeline':
      return trans.__('Show');
    case 'init':
      return trans.__('Set up…');
    case 'remote':
      return trans.__('Set…');
    case 'trust':
      return trans.__('Trust…');
    case 'save':
      return trans.__('Save');
  }
}

/** Do it, for all of a group or for one path of it. */
export function act(hands: IHands, deed: Deed, group: IGroup, path?: string): void {
  const one = deed === 'diff' || deed === 'versions';
  if (path !== undefined) {
    hands.run(COMMAND[deed], one ? { path } : { paths: [path] });
  } else if (deed === 'track' || deed === 'checkpoint') {
    hands.run(COMMAND[deed], { paths: [...group.paths] });
  } else {
    hands.run(COMMAND[deed]);
  }
}

/** The command that a hint consists of, if it is one that is typed in a terminal. */
export function commandIn(problem: IProblem): string | null {
  const found = /^\s*((?:pip|jupyter|git|dvc|nbledger|conda) [\w .:=/[\]'"~<>@-]+)/.exec(
    problem.hint
  );
  return found?.[1]?.replace(/ (?:\(with|then|and) .*$/, '').trim() ?? null;
}
