import type { TranslationBundle } from '@jupyterlab/translation';

import type { IState } from '../api/types';
import { bytes } from '../shared/format';

/** What a line can do; the section knows which command that is. */
export type Deed =
  | 'track'
  | 'checkpoint'
  | 'push'
  | 'pull'
  | 'flush'
  | 'undo'
  | 'diff'
  | 'versions'
  | 'pipeline'
  | 'init'
  | 'remote'
  | 'trust'
  | 'save';

/** One kind of thing that differs from what is recorded. */
export interface IGroup {
  readonly id: string;
  readonly label: string;
  /** How much it matters: `stop` a run could not be brought back, `note` something to do, `quiet` to know. */
  readonly tone: 'stop' | 'note' | 'quiet';
  /** Paths of the project (or names, if `files` is false); without any it is a single line. */
  readonly paths: readonly string[];
  readonly files: boolean;
  /** What is said beside a path. */
  readonly asides: Readonly<Record<string, string>>;
  /** The one obvious action for all of it; it gets `paths` if `files`. */
  readonly deed: Deed | null;
  /** What can be done with a single path. */
  readonly each: readonly Deed[];
}

type Part = Partial<IGroup> & Pick<IGroup, 'id' | 'label'>;

const PLAIN = { tone: 'note', paths: [], files: true, asides: {}, deed: null, each: [] } as const;

/** Everything that is to be said, what weighs most first; `unsaved` are the open documents that are. */
export function groups(
  state: IState,
  trans: TranslationBundle,
  unsaved: readonly string[] = []
): readonly IGroup[] {
  const { data } = state;
  const lists: readonly Part[] = [
    {
      id: 'untracked-inputs',
      label: trans.__('Untracked inputs'),
      tone: 'stop',
      paths: data.untracked_inputs,
      deed: 'track',
      each: ['track']
    },
    {
      id: 'missing',
      label: trans.__('Missing data'),
      tone: 'stop',
      paths: data.missing,
      deed: 'pull',
      each: ['versions']
    },
    {
      id: 'data-older',
      label: trans.__('Data older than their pointer'),
      tone: 'stop',
      paths: data.older,
      deed: 'pull',
      each: ['diff', 'versions']
    },
    {
      id: 'data-changed',
      label: trans.__('Changed data'),
      tone: 'stop',
      paths: data.changed,
      deed: 'track',
      each: ['diff', 'versions', 'track']
    },
    large(state, trans),
    {
      id: 'unsaved',
      label: trans.__('Unsaved'),
      tone: 'stop',
      paths: unsaved,
      deed: 'save'
    },
    ...code(state, trans),
    {
      id: 'not-pushed',
      label: trans.__('Not pushed data'),
      paths: data.not_pushed,
      deed: 'push',
      each: ['versions']
    },
    {
      id: 'stale',
      label: trans.__('Stale stages'),
      paths: state.pipeline.stale,
      files: false,
      deed: 'pipeline'
    }
  ];
  return [...lists.filter(part => part.paths?.length), ...lines(state, trans)].map(part => ({
    ...PLAIN,
    ...part
  }));
}

function large(state: IState, trans: TranslationBundle): Part {
  return {
    id: 'large',
    label: trans.__('Large files'),
    tone: 'stop',
    paths: state.code.large.map(one => one.path),
    asides: Object.fromEntries(state.code.large.map(one => [one.path, bytes(one.size)])),
    deed: 'track',
    each: ['track']
  };
}

function code(state: IState, trans: TranslationBundle): readonly Part[] {
  const small = isCode(state);
  return [
    {
      id: 'changed',
      label: trans.__('Changed'),
      tone: 'stop',
      paths: state.code.changed.filter(small),
      deed: 'checkpoint',
      each: ['diff', 'checkpoint']
    },
    {
      id: 'untracked',
      label: trans.__('New'),
      tone: 'stop',
      paths: state.code.untracked.filter(small),
      deed: 'checkpoint',
      each: ['track', 'checkpoint']
    }
  ];
}

/** What is one line. */
function lines(state: IState, trans: TranslationBundle): readonly Part[] {
  const { code: git, data, tracking } = state;
  const found: Part[] = [];
  const say = (when: boolean, part: Part) => {
    if (when) {
      found.push(part);
    }
  };
  say(git.operation !== '', {
    id: 'operation',
    label: trans.__('A %1 is under way in Git', git.operation),
    tone: 'stop'
  });
  say(!data.repository && git.repository, {
    id: 'no-dvc',
    label: trans.__('Data is not versioned yet'),
    deed: 'init'
  });
  say(!state.trusted && git.repository, {
    id: 'untrusted',
    label: trans.__('Not trusted: its filters, hooks and server are off'),
    tone: 'quiet',
    deed: 'trust'
  });
  say(tracking.reachable === false, {
    id: 'tracking-away',
    label: trans.__('Tracking server is away'),
    tone: 'stop'
  });
  // While the store answers the keeper publishes by itself; only where it does not is there something to ask for.
  say(tracking.pending > 0 && tracking.reachable === false, {
    id: 'pending',
    label: trans._n('%1 run to publish', '%1 runs to publish', tracking.pending),
    deed: 'flush'
  });
  say(tracking.pending > 0 && tracking.reachable !== false, {
    id: 'publishing',
    label: trans._n('Publishing %1 run…', 'Publishing %1 runs…', tracking.pending),
    tone: 'quiet'
  });
  say(git.undo !== null, {
    id: 'undo',
    label: trans.__('Last checkpoint: %1', git.undo?.message ?? ''),
    tone: 'quiet',
    deed: 'undo'
  });
  say(data.repository && data.tracked_count > 0 && !data.remote, {
    id: 'no-remote',
    label: trans.__('No remote for data'),
    tone: 'quiet',
    deed: 'remote'
  });
  return found;
}

/** Whether a path is to be committed: neither large nor data that a run read. */
function isCode(state: IState): (path: string) => boolean {
  const data = new Set([...state.code.large.map(one => one.path), ...state.data.untracked_inputs]);
  return path => !data.has(path);
}

/** Everything that a checkpoint of all would hold. */
export function checkpointPaths(state: IState): readonly string[] {
  return [...state.code.changed, ...state.code.untracked].filter(isCode(state));
}

/** The branch in one line. */
export interface IBranch {
  readonly name: string;
  readonly ahead: number;
  readonly behind: number;
  readonly title: string;
  readonly deed: 'push' | 'pull' | null;
}

export function branch(state: IState, trans: TranslationBundle): IBranch {
  const { code: git, data } = state;
  const ahead = git.ahead ?? 0;
  const behind = git.behind ?? 0;
  const name =
    git.branch ??
    (git.commit ? trans.__('detached %1', git.commit.slice(0, 7)) : trans.__('no commit yet'));
  const title = git.upstream
    ? trans.__('%1 follows %2: %3 ahead, %4 behind', name, git.upstream, ahead, behind)
    : trans.__('%1 follows no branch of a remote', name);
  const away = ahead > 0 || data.not_pushed.length > 0;
  return { name, ahead, behind, title, deed: behind > 0 ? 'pull' : away ? 'push' : null };
}
