/**
 * What the server's routes answer, as TypeScript sees it. The same shapes stand in `server/openapi.yaml`, and tests hold
 * both against what the keeper really says. Times are ISO 8601 UTC, paths relative to the project's root with `/`,
 * numbers that JSON cannot carry are the strings "nan", "inf" and "-inf".
 */

/** A number, or "nan", "inf", "-inf". */
export type Num = number | 'nan' | 'inf' | '-inf';

/** One line that says what is wrong, what to do about it, and nbledger's exit code for it (2 usage, 3 could not …). */
export interface IProblem {
  readonly error: string;
  readonly hint: string;
  readonly code: number;
  /** The error's class in Python; `Untrusted` asks for the person's trust. */
  readonly kind?: string;
}

// ── state ────────────────────────────────────────────────────────────────────────────────────────────────

/** `GET state`. The keys of `nbledger status --json`, and what the sidebar needs beside them. */
export interface IState {
  /** Names the project in events; grows with nothing, stays the same while the ledger's folder does. */
  readonly project: string;
  /** Absolute folder of the project, and the same relative to the server's root (null if the root is outside it). */
  readonly root: string;
  readonly base: string | null;
  /** If `base` is null: the server's root relative to the project's, where it lies inside; else "". */
  readonly prefix: string;
  /** Who a run recorded now would be of: `Name <address>` as Git has it, else a login. */
  readonly user?: string;
  /** By what this person's runs are told (`personKey`). */
  readonly mine?: readonly string[];
  /** Whether this person trusts the project: only then is anything executed that came with it. */
  readonly trusted: boolean;
  readonly version: number;
  readonly clean: boolean;
  /** Why a run now could not be brought back, most important first; empty if `clean`. */
  readonly because: readonly IReason[];
  readonly code: ICode;
  readonly data: IData;
  readonly pipeline: { readonly stale: readonly string[] };
  readonly tracking: {
    readonly uri: string;
    readonly experiment: string;
    readonly reachable: boolean | null;
    readonly pending: number;
  };
  readonly notes: readonly string[];
  /** Whether the keeper watches the files (false: it looks again every few seconds, and `notes` says why). */
  readonly watching: boolean;
}

/** `kind`: git, code, data-changed, data-older, data-missing, data-untracked, large, operation. */
export interface IReason {
  readonly kind: string;
  readonly text: string;
  readonly paths: readonly string[];
}

export interface ICode {
  /** Null without a Git repository, or on a detached head. */
  readonly branch: string | null;
  readonly commit: string | null;
  readonly changed: readonly string[];
  readonly untracked: readonly string[];
  readonly ahead: number | null;
  readonly behind: number | null;
  /** merge, rebase … that is going on; "" if none. */
  readonly operation: string;
  /** Whether there is a Git repository at all; false: `init` is what to offer. */
  readonly repository: boolean;
  /** Files not in Git's history that are above the setting `large_file_mb` and not versioned by DVC. */
  readonly large: readonly { readonly path: string; readonly size: number }[];
  /** The newest commit if nbledger made it on this branch, it is HEAD and not pushed: `undo` takes it back. */
  readonly undo: { readonly commit: string; readonly message: string } | null;
  /** Whether the branch has an upstream to push to. */
  readonly upstream: string | null;
}

export interface IData {
  readonly changed: readonly string[];
  readonly missing: readonly string[];
  /** Git has moved on from them (a plain `git pull`, a switch), and nobody brought the data. */
  readonly older?: readonly string[];
  /** Data versions that the default remote does not hold; empty while it was not asked (`pushed_known` false). */
  readonly not_pushed: readonly string[];
  readonly pushed_known: boolean;
  readonly untracked_inputs: readonly string[];
  /** What DVC versions, at most 2,000 of them. */
  readonly tracked: readonly ITracked[];
  readonly tracked_count: number;
  /** Name and URL (without credentials) of the default remote. */
  readonly remote: { readonly name: string; readonly url: string } | null;
  /** Whether there is a DVC repository. */
  readonly repository: boolean;
  /** Data objects that recorded runs need: protected from `dvc gc`, or (`bare`) not, and why; null before any. */
  readonly kept: {
    readonly objects: number;
    readonly bytes: number;
    readonly bare_objects: number;
    readonly bare_bytes: number;
    readonly reason: string;
  } | null;
}

export interface ITracked {
  readonly path: string;
  readonly state: 'clean' | 'changed' | 'missing';
  readonly folder: boolean;
  readonly size: number | null;
}

// ── runs ─────────────────────────────────────────────────────────────────────────────────────────────────

/** `GET runs`: all runs, the newest first, at most `limit` (20,000); `GET runs/changes?since=V` as well, with `reset`. */
export interface IRunTable {
  readonly version: number;
  readonly total: number;
  readonly runs: readonly IRun[];
  readonly experiment: string;
  readonly tracking: IState['tracking'];
}

/** What changed after `since`; with `reset` the runs are all of them again. */
export interface IRunChanges extends IRunTable {
  readonly reset: boolean;
  readonly removed: readonly string[];
}

/** The keys of `nbledger runs --json`; `tags` are only those that the table can show. */
export interface IRun {
  readonly run_id: string;
  readonly name: string;
  readonly status: 'RUNNING' | 'FINISHED' | 'FAILED' | 'KILLED' | 'SCHEDULED';
  readonly experiment: string;
  readonly experiment_id: string;
  readonly start: string | null;
  readonly end: string | null;
  readonly notebook: string | null;
  readonly commit: string | null;
  readonly snapshot: string | null;
  readonly dirty: boolean | null;
  readonly params: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, Num>>;
  readonly inputs: readonly { readonly path: string; readonly md5: string }[];
  /** mlflow.user, mlflow.parentRunId, mlflow.note.content, nbledger.order, .verdict, .reproduces, .journal, .host, .author; and the user's own. */
  readonly tags: Readonly<Record<string, string>>;
  /** Who made it: `Name <address>` as Git has it, else a login; null where nobody noted it. */
  readonly user: string | null;
  readonly host: string | null;
  readonly branch: string | null;
  /** What recorded it; of any other than nbledger only MLflow's own fields are known. */
  readonly origin: 'nbledger' | 'notebook' | 'script' | 'project' | 'job' | 'unknown';
}

/** `GET runs/search?text=`: the ids that match MLflow's filter syntax, the newest first. */
export interface IRunSearch {
  readonly ids: readonly string[];
}

/** `GET runs/series?run=ID…&key=K…&points=N`: points [step, value, ms] of metrics that were logged more than once. */
export interface ISeriesTable {
  readonly series: Readonly<Record<string, Readonly<Record<string, readonly ISeriesPoint[]>>>>;
}
export type ISeriesPoint = readonly [step: number, value: Num, at: number];

/** `GET runs/detail?run=NAME`: everything recorded of one run. */
export interface IDetail {
  readonly run: IRun;
  readonly deleted: boolean;
  readonly params: Readonly<Record<string, string>>;
  readonly series: Readonly<Record<string, readonly ISeriesPoint[]>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly note: string;
  readonly inputs: readonly IFile[];
  readonly outputs: readonly IFile[];
  readonly cells: readonly ICell[];
  readonly modules: readonly string[];
  readonly environment: {
    readonly python: string;
    readonly platform: string;
    readonly packages: readonly {
      readonly name: string;
      readonly version: string;
      readonly imported: boolean;
    }[];
    readonly hardware: Readonly<Record<string, string>>;
  } | null;
  readonly seeds: Readonly<Record<string, string>>;
  readonly order: string;
  readonly order_detail?: readonly string[];
  readonly hidden: readonly string[];
  readonly notices: readonly string[];
  readonly left_out: readonly string[];
  readonly lacking: readonly string[];
  readonly artifacts: readonly {
    readonly path: string;
    readonly size: number | null;
    readonly folder: boolean;
  }[];
  readonly models: readonly IModelVersion[];
  /** Models that the run logged (names), whether registered or not: what `promote` can take. */
  readonly logged_models: readonly string[];
  readonly children: readonly IRun[];
  readonly reproductions: readonly IRun[];
}

export interface IFile {
  readonly path: string;
  readonly state: string;
  readonly md5: string | null;
  readonly size: number | null;
  readonly dataset: string | null;
}

export interface ICell {
  readonly source: string;
  readonly id: string | null;
  readonly ok: boolean;
  readonly execution_count: number | null;
  readonly needed: boolean;
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** `GET runs/notebook?run=ID`: the notebook as it was executed (nbformat 4); `kind` says where it comes from. */
export interface IRunNotebook {
  readonly kind: 'executed' | 'session' | 'snapshot';
  readonly name: string;
  readonly notebook: unknown;
  /** What it does not show, and why; "" if nothing is left out. */
  readonly note: string;
}

// ── compare ──────────────────────────────────────────────────────────────────────────────────────────────

/** `GET compare?run=A&run=B…&all=1`: the keys of `nbledger compare --json` (core/differences.py). */
export interface IComparison {
  readonly runs: readonly ICompared[];
  readonly params: Readonly<Record<string, readonly (string | null)[]>>;
  readonly metrics: Readonly<Record<string, readonly (Num | null)[]>>;
  readonly data: readonly IDataChange[];
  readonly code: readonly ICodeChange[];
  readonly environment: readonly (IRow & { readonly role: string })[];
  readonly seeds: readonly IRow[];
  readonly order: readonly {
    readonly what: string;
    readonly evidence: string;
    readonly matters: boolean;
  }[];
  readonly causes: readonly ICause[];
  readonly hardware: readonly IRow[];
  readonly deltas: Readonly<
    Record<string, { readonly absolute: Num; readonly relative: Num | null }>
  >;
  readonly series: Readonly<Record<string, readonly (ISeries | null)[]>>;
  readonly equal: boolean | null;
  readonly notes: readonly string[];
}
export interface ICompared {
  readonly title: string;
  readonly kind: 'run' | 'present' | 'commit';
  readonly run_id: string;
  readonly status: string;
  readonly experiment: string;
  readonly start: string | null;
  readonly end: string | null;
  readonly notebook: string | null;
  readonly commit: string | null;
  readonly dirty: boolean | null;
  readonly user: string | null;
  /** As that of a run; "" of what is none. */
  readonly origin: string;
  /** Of a run: which of code, data, environment and seed nobody recorded. */
  readonly unknown: readonly string[];
}
export interface ICause {
  readonly kind: string;
  readonly what: string;
  readonly evidence: string;
  readonly weight: number;
}
export interface IRow {
  readonly name: string;
  readonly values: readonly (string | null)[];
  readonly note?: string;
}
export interface ISeries {
  readonly count: number;
  readonly last: Num;
  readonly low: Num;
  readonly high: Num;
  readonly shown: readonly Num[];
}
export interface IDataChange {
  readonly path: string;
  readonly values: readonly (string | null)[];
  readonly state: string;
  readonly other: string | null;
  readonly sizes: readonly (number | null)[];
  readonly derived: boolean;
  readonly outside: boolean;
  readonly needed: boolean;
  readonly read_by: string;
  readonly files: readonly IRow[];
  readonly keys: readonly IRow[];
  readonly table: ITableChange | null;
  readonly note: string;
}
export interface ITableChange {
  readonly rows: readonly [number, number];
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
  readonly key: readonly string[];
  readonly reordered: boolean;
  readonly columns: readonly {
    readonly name: string;
    readonly state: string;
    readonly what: string;
    readonly distance: number | null;
    /** mean, std, q0 … q100 of numbers, or the share of each category: was, is. */
    readonly stats: Readonly<Record<string, readonly [Num | null, Num | null]>>;
  }[];
  readonly sampled: number | null;
}
export interface ICodeChange {
  readonly kind: string;
  readonly where: string;
  readonly state: string;
  readonly effect: string;
  readonly needed: boolean;
  readonly diff: readonly string[];
  readonly values: readonly (string | null)[];
}

/** `GET compare/notebook?a=RUN&b=RUN` and, for a notebook, `GET diff`: nbdime's input. `a`, `b` are what was compared. */
export interface INotebookDiff {
  readonly a: string;
  readonly b: string;
  readonly base: unknown;
  readonly diff: unknown;
  readonly note?: string;
}

/** `GET compare/markdown?run=A&run=B…` */
export interface IMarkdown {
  readonly markdown: string;
}

// ── files ────────────────────────────────────────────────────────────────────────────────────────────────

/** `GET diff?file=PATH`: a file of the work tree against the last commit (data: against its pointer). */
export interface IDiff {
  readonly path: string;
  readonly kind: 'notebook' | 'text' | 'data' | 'binary';
  readonly against: string;
  readonly notebook: INotebookDiff | null;
  /** Lines of a unified diff, at most 5,000. */
  readonly lines: readonly string[];
  readonly cut: boolean;
  readonly data: IDataChange | null;
  readonly note: string;
}

/** `GET versions?file=PATH`: the versions of what DVC tracks there, the newest first; `current` is the work tree's. */
export interface IVersions {
  readonly path: string;
  readonly versions: readonly IVersion[];
}
export interface IVersion {
  readonly md5: string;
  readonly size: number | null;
  readonly nfiles: number | null;
  readonly commit: string;
  readonly author: string;
  readonly at: string;
  readonly message: string;
  readonly current: boolean;
  /** Whether its bytes are in the cache. */
  readonly cached: boolean;
  /** Names and ids of runs that read it. */
  readonly runs: readonly { readonly run_id: string; readonly name: string }[];
}

// ── models and pipeline ──────────────────────────────────────────────────────────────────────────────────

/** `GET models`. */
export interface IModels {
  readonly models: readonly IModel[];
  /** What was left out, where there is very much. */
  readonly notes: readonly string[];
  /** The gates that the project's settings name. */
  readonly gates: readonly IGateRow[];
  /** Which named gate an alias of a model demands, by the settings. */
  readonly demands: readonly IDemand[];
}
/**
 * A gate of the settings. `condition` is null where it has none, `first` counts in its place while the alias points at
 * nothing; `approvals` other people must agree.
 */
export interface IGateRow {
  readonly name: string;
  readonly condition: string | null;
  readonly first: string | null;
  readonly require: readonly string[];
  readonly min_rows: number;
  readonly approvals: number;
  readonly expires_days: number | null;
}
export interface IDemand {
  readonly model: string;
  readonly alias: string;
  readonly gate: string;
}
export interface IModel {
  readonly name: string;
  readonly description: string;
  readonly aliases: Readonly<Record<string, string>>;
  readonly versions: readonly IModelVersion[];
}
export interface IModelVersion {
  readonly name: string;
  readonly version: string;
  readonly aliases: readonly string[];
  readonly run_id: string | null;
  readonly run_name: string;
  readonly created: string | null;
  readonly status: string;
  /** What a gate wrote on the version (tags `nbledger.gate.*`); empty where none did. */
  readonly gate: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  readonly metrics: Readonly<Record<string, Num>>;
  readonly commit: string | null;
  readonly notebook: string | null;
  readonly inputs: readonly { readonly path: string; readonly md5: string }[];
}

/** `GET models/judge` and `POST models/promote`: what a gate says of a run. */
export interface IJudged {
  readonly passed: boolean;
  readonly run_id: string;
  readonly name: string;
  readonly model: string;
  readonly alias: string;
  readonly condition: string;
  readonly figures: Readonly<Record<string, Num>>;
  readonly clauses: readonly IClause[];
  readonly denials: readonly IDenial[];
  readonly allowed: readonly string[];
  readonly version: string | null;
  readonly previous: string | null;
  readonly created: boolean;
  readonly champion: string | null;
  readonly baseline: string | null;
  readonly at: string;
  readonly by: string;
  readonly notes: readonly string[];
  /** The named gates that were applied, and what they and the words demand together beside the condition. */
  readonly gates: readonly string[];
  readonly require: readonly string[];
  readonly min_rows: number;
  readonly approvals: number;
  readonly digest: string | null;
  /** The decision's number among those about the model; 0 where it is not recorded. */
  readonly n: number;
  /** It passed, and waits for other people's approval: nothing but the alias `candidate` moved. */
  readonly pending: { readonly needed: number; readonly expires: string } | null;
  readonly dry: boolean;
}
/** A comparison as it came out; `values` are those of its sides. */
export interface IClause {
  readonly text: string;
  readonly values: readonly Num[];
  readonly holds: boolean;
}
export interface IDenial {
  readonly kind: string;
  readonly text: string;
}

/** `GET models/decisions?model=`: what was decided about a model's aliases, in order. */
export interface IDecisions {
  readonly model: string;
  readonly decisions: readonly IDecided[];
  readonly aliases: Readonly<Record<string, string>>;
}
/**
 * `kind`: promote, refused, pending, approved, expired, moved, rollback, deployed, returned. `points`: whether the alias
 * points at `version` by this decision.
 */
export interface IDecided {
  readonly n: number;
  readonly at: string;
  readonly kind: string;
  readonly alias: string;
  readonly version: string | null;
  readonly previous: string | null;
  readonly run_id: string | null;
  readonly by: string;
  readonly condition: string;
  readonly figures: Readonly<Record<string, Num>>;
  readonly reasons: readonly string[];
  readonly text: string;
  readonly points: boolean;
}

/** `GET models/production`: what waits for somebody's approval, and what this machine serves. */
export interface IProduction {
  readonly waiting: readonly IWaiting[];
  readonly serving: readonly IServing[];
  /** What could not be asked; the rest is there all the same. */
  readonly problems: readonly IProblem[];
}
/** A version that passed its gate and waits. `mine`: whether this person may approve it; `why_not` says why not. */
export interface IWaiting {
  readonly model: string;
  readonly version: string;
  readonly alias: string;
  /** The version that the alias pointed at when it was asked; null if at none. */
  readonly holder: string | null;
  readonly run_id: string | null;
  readonly run_name: string;
  readonly by: string;
  readonly at: string;
  readonly expires: string | null;
  readonly needed: number;
  readonly approved: readonly string[];
  readonly condition: string;
  readonly figures: Readonly<Record<string, Num>>;
  readonly mine: boolean;
  readonly why_not: string;
}
/**
 * A model that is served here. `version` is null before the first one serves, `coming` the one that is being brought into
 * service; `state`: ok, starting, stopped, or why it is down; `text` says what the last order came to, if it failed.
 */
export interface IServing {
  readonly model: string;
  readonly version: string | null;
  readonly url: string;
  readonly port: number;
  readonly state: string;
  readonly healthy: boolean | null;
  readonly since: string | null;
  readonly digest: string;
  readonly requests: number;
  readonly failures: number;
  readonly coming: string | null;
  readonly text: string;
}

/**
 * `GET models/ancestry?name=MODEL/VERSION`, a run, or MODEL@alias: what it came from, as a graph. Edges lead from what was
 * there first to what came of it; `missing` names what is not known or not there, `notes` what was left out.
 */
export interface IAncestry {
  readonly asked: string;
  readonly back: boolean;
  readonly roots: readonly string[];
  readonly nodes: readonly IAncestor[];
  readonly edges: readonly { readonly from: string; readonly to: string; readonly how: string }[];
  readonly missing: readonly string[];
  readonly notes: readonly string[];
}
/** `kind`: model, run, code, stage or data; what does not belong to the kind is "" or null. */
export interface IAncestor {
  readonly id: string;
  readonly kind: string;
  readonly label: string;
  readonly step: number;
  readonly at: string | null;
  readonly by: string | null;
  readonly name: string;
  readonly version: string;
  readonly aliases: readonly string[];
  readonly run_id: string;
  readonly status: string;
  readonly reproduces: string;
  readonly commit: string;
  readonly dirty: boolean | null;
  readonly source: string;
  readonly cmd: string;
  readonly path: string;
  readonly md5: string;
  readonly size: number | null;
  readonly state: string;
  readonly where: readonly string[];
  /** Why the thing itself is not there; "" where it is. */
  readonly missing: string;
}

/** `POST models/rollback`: `version` is what the alias points at now. */
export interface IRolledBack {
  readonly model: string;
  readonly alias: string;
  readonly version: string;
  readonly previous: string;
  readonly n: number;
  readonly run_id: string | null;
  readonly by: string;
  readonly at: string;
  /** Where the next one would go back to. */
  readonly before: string | null;
  readonly notes: readonly string[];
}

/**
 * `POST models/approve`: `outcome` is approved (and the alias `moved`), counted, refused, expired, moved (by somebody else,
 * meanwhile), promoted (the alias points at it already, another way) or denied; `reasons` say why nothing moved.
 */
export interface IApproved {
  readonly outcome: string;
  readonly moved: boolean;
  readonly by: string;
  /** What it was about; null if nothing waited. */
  readonly pending: {
    readonly model: string;
    readonly version: string;
    readonly alias: string;
    readonly needed: number;
    readonly approved: readonly {
      readonly by: string;
      readonly at: string;
      readonly text: string;
    }[];
  };
  readonly reasons: readonly string[];
  readonly notes: readonly string[];
}

/** `GET pipeline`: `dvc.yaml` as a graph. */
export interface IPipeline {
  readonly files: readonly string[];
  readonly nodes: readonly IPipelineNode[];
  readonly edges: readonly { readonly from: string; readonly to: string }[];
  readonly problems: readonly string[];
}
/**
 * `id` names the node in edges. A `data` node is a file that a stage reads and no stage writes, or an output. A stage that
 * `may_run` comes after a stale one. `notebook` and `cell` (the id of its first cell) say where the stage's code is.
 */
export interface IPipelineNode {
  readonly id: string;
  readonly kind: 'stage' | 'data';
  readonly label: string;
  readonly cmd: string;
  readonly file: string;
  readonly stale: boolean;
  readonly why: readonly string[];
  readonly deps: readonly string[];
  readonly outs: readonly string[];
  readonly params: readonly string[];
  readonly metrics: readonly string[];
  readonly may_run: boolean;
  readonly notebook: string;
  readonly cell: string;
}

// ── work ─────────────────────────────────────────────────────────────────────────────────────────────────

/** `GET jobs`, `POST jobs`, `DELETE jobs?id=`: work of the keeper that takes a while. */
export interface IJobs {
  readonly jobs: readonly IJob[];
}
export type JobKind = 'track' | 'push' | 'pull' | 'reproduce' | 'deploy' | 'drift';
export interface IJob {
  readonly id: string;
  readonly kind: JobKind;
  readonly title: string;
  readonly state: 'running' | 'done' | 'failed' | 'stopped';
  readonly done: number;
  readonly total: number;
  readonly text: string;
  readonly started: string;
  readonly ended: string | null;
  /** What the verb answers with `--json`; null while it runs. */
  readonly result: unknown;
  readonly problem: IProblem | null;
}

/** `GET preview?kind=push|pull|track|checkpoint|undo|restore…`: what exactly an action would do, before it is confirmed. */
export interface IPreview {
  readonly title: string;
  /** One line a thing that will happen; `overwrites` are those that replace something of the user's. */
  readonly lines: readonly string[];
  readonly overwrites: readonly string[];
  readonly refused: IProblem | null;
}

/** `POST checkpoint`. */
export interface ICheckpoint {
  readonly commit: string | null;
  readonly paths: readonly string[];
  readonly left: readonly string[];
}

/** `POST runs/delete` and `runs/restore`: the run, and the ids of all runs that went with it. */
export interface IDeleted {
  readonly run_id: string;
  readonly name: string;
  readonly runs: readonly string[];
}

// ── events ───────────────────────────────────────────────────────────────────────────────────────────────

/** What Jupyter Server's event bus carries when something changed; what exactly is then asked for. */
export interface IChanged {
  readonly project: string;
  readonly parts: readonly Part[];
  readonly version: number;
}
export type Part = 'state' | 'runs' | 'models' | 'pipeline' | 'jobs';
