import type { ServerConnection } from '@jupyterlab/services';

import { request, type Query } from './client';
import type {
  IAncestry,
  IApproved,
  ICheckpoint,
  IComparison,
  IDecisions,
  IDeleted,
  IDetail,
  IDiff,
  IJob,
  IJobs,
  IJudged,
  IMarkdown,
  IModels,
  INotebookDiff,
  IPipeline,
  IPreview,
  IProduction,
  IRolledBack,
  IRunChanges,
  IRunNotebook,
  IRunSearch,
  IRunTable,
  ISeriesTable,
  IState,
  IVersions,
  JobKind
} from './types';

/** What an action asks; what each kind takes is written at the route in `server/openapi.yaml`. */
export type Body = Readonly<Record<string, unknown>>;

/**
 * The routes, one method each, about the project that holds `path()` (a path of Jupyter's contents; the server finds the
 * project above it).
 */
export class Api {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly path: () => string
  ) {}

  state = () => this.get<IState>('state');
  runs = (limit?: number) => this.get<IRunTable>('runs', { limit });
  changes = (since: number) => this.get<IRunChanges>('runs/changes', { since });
  search = (text: string) => this.get<IRunSearch>('runs/search', { text });
  series = (run: readonly string[], key: readonly string[], points = 40) =>
    this.get<ISeriesTable>('runs/series', { run, key, points });
  detail = (run: string) => this.get<IDetail>('runs/detail', { run });
  notebook = (run: string) => this.get<IRunNotebook>('runs/notebook', { run });
  compare = (run: readonly string[], all = false, signal?: AbortSignal) =>
    this.get<IComparison>('compare', { run, all }, signal);
  compareNotebooks = (a: string, b: string) =>
    this.get<INotebookDiff>('compare/notebook', { a, b });
  markdown = (run: readonly string[], all = false) =>
    this.get<IMarkdown>('compare/markdown', { run, all });
  diff = (file: string) => this.get<IDiff>('diff', { file });
  versions = (file: string) => this.get<IVersions>('versions', { file });
  models = () => this.get<IModels>('models');
  /** What the gate would say of a run; nothing is changed or recorded. */
  judge = (words: Query) => this.get<IJudged>('models/judge', words);
  decisions = (model: string) => this.get<IDecisions>('models/decisions', { model });
  production = () => this.get<IProduction>('models/production');
  ancestry = (name: string) => this.get<IAncestry>('models/ancestry', { name });
  pipeline = () => this.get<IPipeline>('pipeline');
  jobs = () => this.get<IJobs>('jobs');
  /** What `kind` would do, given the same words as the action itself. */
  preview = (kind: string, words: Query = {}) => this.get<IPreview>('preview', { kind, ...words });

  init = (body: Body = {}) => this.post<readonly string[]>('init', body);
  /** Commit; `large`: also files that are above the setting `large_file_mb`. */
  checkpoint = (message: string, paths: readonly string[] = [], large = false) =>
    this.post<ICheckpoint>('checkpoint', { message, paths, large });
  /** Take back `commit`, which must be HEAD, made by nbledger and not pushed; the work tree stays as it is. */
  undo = (commit: string) => this.post<{ readonly head: string }>('undo', { commit });
  /** Publish what waits in the journals. */
  flush = () =>
    this.post<{ readonly left: number; readonly reasons: readonly string[] }>('flush', {});
  /** Set (or with null remove) tags of a run. */
  tag = (run: string, tags: Readonly<Record<string, string | null>>) =>
    this.post<{ readonly run_id: string }>('runs/tag', { run, tags });
  rename = (run: string, name: string) =>
    this.post<{ readonly run_id: string }>('runs/rename', { run, name });
  note = (run: string, text: string) =>
    this.post<{ readonly run_id: string }>('runs/note', { run, text });
  /** `runs` are the ids of the run and of its children. */
  remove = (run: string) => this.post<IDeleted>('runs/delete', { run });
  bringBack = (run: string) => this.post<IDeleted>('runs/restore', { run });
  /** Register a run's logged model as a version of `model` and, if given, point `alias` at it. */
  promote = (run: string, model: string, alias: string, logged: string) =>
    this.post<{ readonly version: string; readonly previous: string | null }>('promote', {
      run,
      model,
      alias,
      logged
    });
  /** The same through a gate: `words` as those of `judge`. A refusal is recorded, too. */
  promoteIf = (words: Body) => this.post<IJudged>('models/promote', words);
  /** Point `alias` at the version before, or at `to`. */
  rollback = (model: string, alias: string, to: string | null) =>
    this.post<IRolledBack>('models/rollback', { model, alias, ...(to ? { to } : {}) });
  /** Approve (or `refuse`) a version that passed its gate and waits. */
  approve = (model: string, version: string, text: string, refuse = false) =>
    this.post<IApproved>('models/approve', {
      model,
      version,
      ...(text ? { text } : {}),
      ...(refuse ? { refuse } : {})
    });
  /** Stop serving a model on this machine. */
  undeploy = (model: string) =>
    this.post<{ readonly model: string; readonly endpoint: string }>('models/undeploy', { model });
  /** Point `alias` of `model` at `version`; null removes it. What it pointed at before is the answer. */
  alias = (model: string, alias: string, version: string | null) =>
    this.post<{ readonly previous: string | null }>('alias', { model, alias, version });
  /** From now on what came with the project may be executed. */
  trust = () => this.post<boolean>('trust', {});
  /** Put a version of tracked data in the place of the present one. */
  useVersion = (file: string, commit: string) =>
    this.post<readonly string[]>('versions/use', { file, commit });
  start = (kind: JobKind, words: Body = {}) => this.post<IJob>('jobs', { kind, ...words });
  stop = (id: string) => request<null>(this.settings, 'DELETE', 'jobs', { path: this.path(), id });

  private get<T>(route: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    return request<T>(
      this.settings,
      'GET',
      route,
      { path: this.path(), ...query },
      undefined,
      signal
    );
  }

  private post<T>(route: string, body: Body): Promise<T> {
    return request<T>(this.settings, 'POST', route, { path: this.path() }, body);
  }
}
