import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import type { Api } from '../api/api';
import type { Query } from '../api/client';
import type { IModel } from '../api/types';
import { Field, TextField } from '../shared/fields';
import { cut } from '../shared/text';
import { askForeseen } from './foreseen';
import { newestFirst } from './gate';

interface IOptions {
  readonly api: Pick<Api, 'preview'>;
  readonly trans: TranslationBundle;
}

export interface IRollback {
  readonly alias: string;
  /** "" is the one before, as the record has it. */
  readonly to: string;
}

export interface IDeploy {
  /** A version's number. */
  readonly version: string;
  /** 0: one that is free. */
  readonly port: number;
}

export interface IDrift {
  readonly version: string;
  readonly data: string;
  /** "" for the data that the version was trained on, by its lineage. */
  readonly reference: string;
  /** "" if there is none. */
  readonly target: string;
}

const HIGHEST_PORT = 65_535;

/** Which alias goes back, and where to; null when it was cancelled. */
export function askRollback(model: IModel, options: IOptions): Promise<IRollback | null> {
  const { trans } = options;
  const aliases = Object.keys(model.aliases).filter(name => name !== 'previous');
  const first = aliases.includes('champion') ? 'champion' : (aliases[0] ?? 'champion');
  return askForeseen<IRollback>({
    title: trans.__('Roll an alias back'),
    button: trans.__('Roll back'),
    initial: { alias: first, to: '' },
    complete: value => value.alias !== '',
    kind: 'rollback',
    words: value => ({
      model: model.name,
      alias: value.alias,
      ...(value.to ? { version: value.to } : {})
    }),
    fields: (value, set) => (
      <>
        <Field label={trans.__('Alias')}>
          <select
            className="jp-mod-styled"
            value={value.alias}
            onChange={event => {
              set({ ...value, alias: event.target.value });
            }}
          >
            {(aliases.length ? aliases : [first]).map(name => (
              <option key={name} value={name}>
                {`${cut(name, 60)} → ${model.aliases[name] ?? '–'}`}
              </option>
            ))}
          </select>
        </Field>
        <Field label={trans.__('Back to')}>
          <select
            className="jp-mod-styled"
            value={value.to}
            onChange={event => {
              set({ ...value, to: event.target.value });
            }}
          >
            <option value="">{trans.__('the version before')}</option>
            {newestFirst(model.versions)
              .filter(version => version.version !== model.aliases[value.alias])
              .map(version => (
                <option key={version.version} value={version.version}>
                  {versionWords(version.version, version.run_name)}
                </option>
              ))}
          </select>
        </Field>
      </>
    ),
    ...options
  });
}

/** Which version is to be served where; null when it was cancelled. */
export function askDeploy(
  model: IModel,
  version: string,
  port: number | null,
  options: IOptions
): Promise<IDeploy | null> {
  const { trans } = options;
  return askForeseen<IDeploy>({
    title: trans.__('Serve a model on this machine'),
    button: trans.__('Deploy'),
    initial: { version, port: port ?? 0 },
    complete: value =>
      value.version !== '' &&
      Number.isInteger(value.port) &&
      value.port >= 0 &&
      value.port <= HIGHEST_PORT,
    kind: 'deploy',
    words: value => ({
      model: model.name,
      version: value.version,
      ...(value.port ? { port: value.port } : {})
    }),
    fields: (value, set) => (
      <>
        <VersionField
          model={model}
          value={value.version}
          set={chosen => {
            set({ ...value, version: chosen });
          }}
          trans={trans}
        />
        <Field
          label={
            port === null
              ? trans.__('Port of this machine (empty: one that is free)')
              : trans.__('Port of this machine: where it is served already')
          }
        >
          <input
            type="number"
            className="jp-mod-styled"
            min={1}
            max={HIGHEST_PORT}
            disabled={port !== null}
            value={value.port || ''}
            onChange={event => {
              const typed = event.target.valueAsNumber;
              set({ ...value, port: Number.isNaN(typed) ? 0 : typed });
            }}
          />
        </Field>
      </>
    ),
    ...options
  });
}

/** Which data to hold against those that the champion was trained on; null when it was cancelled. */
export function askDrift(
  model: IModel,
  version: string,
  files: readonly string[],
  options: IOptions
): Promise<IDrift | null> {
  const { trans } = options;
  return askForeseen<IDrift>({
    title: trans.__('Look for drift'),
    button: trans.__('Look'),
    initial: { version, data: '', reference: '', target: '' },
    complete: value => value.version !== '' && value.data.trim() !== '',
    kind: 'drift',
    words: value => driftWords(model.name, value),
    fields: (value, set) => (
      <>
        <VersionField
          model={model}
          value={value.version}
          set={chosen => {
            set({ ...value, version: chosen });
          }}
          trans={trans}
        />
        <TextField
          label={trans.__('Live data: a file of the project (CSV, Parquet, JSON lines)')}
          suggestions={files}
          required
          value={value.data}
          set={data => {
            set({ ...value, data });
          }}
        />
        <TextField
          label={trans.__('Compared with (empty: the data that the version was trained on)')}
          suggestions={files}
          value={value.reference}
          set={reference => {
            set({ ...value, reference });
          }}
        />
        <TextField
          label={trans.__('Column with the true values (none: leave it empty)')}
          value={value.target}
          set={target => {
            set({ ...value, target });
          }}
        />
      </>
    ),
    ...options
  });
}

/** What is asked of the server, for the look ahead as for the work itself. */
export function driftWords(model: string, asked: IDrift): Query {
  const [file, reference, target] = [asked.data, asked.reference, asked.target].map(word =>
    word.trim()
  ) as [string, string, string];
  return {
    model,
    version: asked.version,
    file,
    ...(reference ? { reference } : {}),
    ...(target ? { target } : {})
  };
}

function VersionField(props: {
  model: IModel;
  value: string;
  set: (version: string) => void;
  trans: TranslationBundle;
}): ReactElement {
  return (
    <Field label={props.trans.__('Version')}>
      <select
        className="jp-mod-styled"
        value={props.value}
        onChange={event => {
          props.set(event.target.value);
        }}
      >
        {newestFirst(props.model.versions).map(one => (
          <option key={one.version} value={one.version}>
            {versionWords(
              one.version,
              [one.run_name, ...one.aliases.map(alias => `@${alias}`)].join(' ')
            )}
          </option>
        ))}
      </select>
    </Field>
  );
}

function versionWords(version: string, more: string): string {
  return more ? `${version} · ${cut(more, 80)}` : version;
}
