/** The extension's name; plugin ids and setting schemas start with it. */
export const NAME = 'nbledger';

/** Every command of the extension; each is defined by the plugin of the part that it belongs to. */
export const Commands = {
  // sidebar (args: none unless said)
  showSidebar: `${NAME}:show-sidebar`,
  refresh: `${NAME}:refresh`,
  init: `${NAME}:init`,
  saveAll: `${NAME}:save-all`, // the open documents of the project
  checkpoint: `${NAME}:checkpoint`, // {paths?: string[]} of the project
  undo: `${NAME}:undo-checkpoint`,
  push: `${NAME}:push`,
  pull: `${NAME}:pull`,
  flush: `${NAME}:flush`,
  setRemote: `${NAME}:set-remote`,
  trust: `${NAME}:trust`,
  // files
  track: `${NAME}:track`, // {paths: string[]} of the project; without: what the file browser has selected
  versions: `${NAME}:show-versions`, // {path: string, project?: string}
  diff: `${NAME}:show-diff`, // {path: string}
  // runs; `path` (as `project` above) names their project where it need not be the one on screen
  openRuns: `${NAME}:open-runs`,
  openRun: `${NAME}:open-run`, // {run: string, path?: string}
  compare: `${NAME}:compare`, // {runs: string[], path?: string}; without: what is selected in the table; '.' is the present state
  reproduce: `${NAME}:reproduce`, // {run: string, path?: string}
  promote: `${NAME}:promote`, // {run: string, path?: string}
  editTags: `${NAME}:edit-tags`, // {run: string, path?: string}
  deleteRun: `${NAME}:delete-run`, // {run: string, path?: string}
  openInMlflow: `${NAME}:open-in-mlflow`, // {run?: string, runs?: string[], path?: string}
  copyRunId: `${NAME}:copy-run-id`, // {run: string}
  // models and pipeline
  openModels: `${NAME}:open-models`,
  openPipeline: `${NAME}:open-pipeline`,
  // notebook
  runAllTracked: `${NAME}:run-all-tracked`
} as const;

/** Main-area widgets and panels, by id; styles and tests find them so. */
export const Ids = {
  sidebar: 'nbledger-sidebar',
  state: 'nbledger-state',
  runs: 'nbledger-runs',
  models: 'nbledger-models',
  pipeline: 'nbledger-pipeline',
  runsTable: 'nbledger-runs-table'
} as const;
