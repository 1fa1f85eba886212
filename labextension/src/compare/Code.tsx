import type { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import type { TranslationBundle } from '@jupyterlab/translation';
import { useEffect, useState, type ReactElement } from 'react';

import type { ICodeChange } from '../api/types';
import { useLive } from '../shared/hooks';
import { NotebookDiffView } from '../shared/notebookDiff';
import { Busy, Problem, TextButton } from '../shared/parts';
import { Bdi } from '../shared/text';
import type { CompareModel } from './model';
import { Capped, Part } from './pieces';

const MOST = 12;

interface ICodeProps {
  readonly code: readonly ICodeChange[];
  readonly names: readonly string[];
  /** What stands for a side that has no version. */
  readonly none: readonly string[];
  readonly model: CompareModel;
  readonly rendermime: IRenderMimeRegistry;
  readonly trans: TranslationBundle;
}

/** What cells and modules differ in, and of two runs their notebooks side by side. */
export function Code(props: ICodeProps): ReactElement | null {
  const { code, names, none, model, rendermime, trans } = props;
  if (!code.length) {
    return null;
  }
  return (
    <Part title={trans.__('Code')} count={code.length}>
      {names.length === 2 && !ofScripts(model) && (
        <Notebooks model={model} rendermime={rendermime} trans={trans} />
      )}
      <Capped all={code} most={MOST} trans={trans}>
        {shown =>
          shown.map((change, at) => (
            <Change key={at} change={change} names={names} none={none} trans={trans} />
          ))
        }
      </Capped>
    </Part>
  );
}

/** Whether a side is a script or a project that plain MLflow recorded: there are no two notebooks. */
function ofScripts(model: CompareModel): boolean {
  const sides = model.found.value?.comparison.runs ?? [];
  return sides.some(
    side => side.kind === 'run' && side.origin !== 'nbledger' && !side.notebook?.endsWith('.ipynb')
  );
}

/** The notebooks of both sides, cell by cell; fetched when they are first looked at. */
function Notebooks({
  model,
  rendermime,
  trans
}: Pick<ICodeProps, 'model' | 'rendermime' | 'trans'>): ReactElement {
  const [open, setOpen] = useState(false);
  const { value, problem, loading } = useLive(model.notebook);
  const wanted = open && !value && !loading && !problem;
  useEffect(() => {
    if (wanted) {
      void model.notebook.refresh();
    }
  }, [model, wanted]);
  return (
    <>
      <TextButton
        label={open ? trans.__('Hide the notebooks') : trans.__('Show the notebooks side by side')}
        onClick={() => {
          setOpen(!open);
        }}
      />
      {open && problem && <Problem problem={problem} trans={trans} />}
      {open && !value && loading && <Busy text={trans.__('Reading notebooks…')} />}
      {open && value && <NotebookDiffView diff={value} rendermime={rendermime} trans={trans} />}
    </>
  );
}

function Change({
  change,
  names,
  none,
  trans
}: {
  readonly change: ICodeChange;
  readonly names: readonly string[];
  readonly none: readonly string[];
  readonly trans: TranslationBundle;
}): ReactElement {
  return (
    <details className="nbl-change" open={change.needed}>
      <summary>
        <Bdi text={change.where} />
        <span className="nbl-chip">{stateText(change.state, trans)}</span>
        {effectText(change.effect, trans) && (
          <span className="nbl-chip">{effectText(change.effect, trans)}</span>
        )}
        {!change.needed && (
          <span className="nbl-chip">{trans.__('the run does not depend on it')}</span>
        )}
      </summary>
      {change.diff.length > 0 ? (
        <Lines lines={change.diff} trans={trans} />
      ) : (
        change.values.length > 0 && (
          <p className="nbl-quiet">
            {change.values.map((value, side) => (
              <span key={side}>
                {side > 0 && ' · '}
                <Bdi text={names[side] ?? ''} />{' '}
                <span className="nbl-mono">
                  {value?.slice(0, 8) ??
                    (none[side] === '?' ? trans.__('not known') : trans.__('absent'))}
                </span>
              </span>
            ))}
          </p>
        )
      )}
    </details>
  );
}

const MOST_LINES = 60;

function Lines({
  lines,
  trans
}: {
  readonly lines: readonly string[];
  readonly trans: TranslationBundle;
}): ReactElement {
  const told = lines.filter(line => !line.startsWith('@@'));
  return (
    <Capped all={told} most={MOST_LINES} trans={trans}>
      {shown => (
        <div
          className="nbl-lines"
          tabIndex={0}
          role="region"
          aria-label={trans.__('Changed lines')}
        >
          {shown.map((line, at) => (
            <div key={at} className={`nbl-diff-line nbl-mod-${kindOf(line)}`}>
              {line.slice(0, 2_000) || ' '}
            </div>
          ))}
        </div>
      )}
    </Capped>
  );
}

function kindOf(line: string): 'added' | 'removed' | 'same' {
  return line.startsWith('+') ? 'added' : line.startsWith('-') ? 'removed' : 'same';
}

function stateText(state: string, trans: TranslationBundle): string {
  const words: Readonly<Record<string, string>> = {
    changed: trans.__('changed'),
    added: trans.__('added'),
    removed: trans.__('removed')
  };
  return words[state] ?? state;
}

function effectText(effect: string, trans: TranslationBundle): string {
  const words: Readonly<Record<string, string>> = {
    literals: trans.__('only values'),
    seed: trans.__('seed'),
    shows: trans.__('only what is shown'),
    names: trans.__('only names'),
    layout: trans.__('only comments or layout')
  };
  return words[effect] ?? '';
}
