import type { LabIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { MouseEvent, ReactElement, ReactNode } from 'react';

import type { IProblem } from '../api/types';
import { Bdi } from './text';

export interface IButtonProps {
  readonly label: string;
  readonly onClick: (event: MouseEvent<HTMLButtonElement>) => void;
  readonly disabled?: boolean;
  readonly title?: string;
  /** `accept`: the one thing to do here; `minimal`: beside others (default: `plain`). */
  readonly kind?: 'accept' | 'plain' | 'minimal';
}

export function TextButton({ label, onClick, disabled, title, kind }: IButtonProps): ReactElement {
  return (
    <button
      type="button"
      className={`nbl-button nbl-mod-${kind ?? 'plain'}`}
      title={title}
      disabled={disabled}
      onClick={onClick}
    >
      {label}
    </button>
  );
}

/** A button that is an icon; `label` is its name for screen readers and its title. */
export function IconButton({
  icon,
  label,
  onClick,
  disabled,
  pressed
}: IButtonProps & { icon: LabIcon; pressed?: boolean }): ReactElement {
  return (
    <button
      type="button"
      className="nbl-icon-button"
      title={label}
      aria-label={label}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <icon.react tag="span" aria-hidden="true" />
    </button>
  );
}

/** Nothing here: why, and what to do about it. */
export function Empty({
  icon,
  text,
  children
}: {
  icon?: LabIcon;
  text: string;
  children?: ReactNode;
}): ReactElement {
  return (
    <div className="nbl-empty">
      {icon ? <icon.react tag="span" className="nbl-empty-icon" aria-hidden="true" /> : null}
      <p>{text}</p>
      {children}
    </div>
  );
}

/** What went wrong and what to do about it; a button that does it (children), or one that tries again. */
export function Problem({
  problem,
  trans,
  retry,
  children
}: {
  problem: IProblem;
  trans: TranslationBundle;
  retry?: () => void;
  children?: ReactNode;
}): ReactElement {
  return (
    <div className="nbl-problem" role="alert">
      <p className="nbl-problem-text">
        <Bdi text={problem.error} />
      </p>
      {problem.hint ? (
        <p className="nbl-problem-hint">
          <Bdi text={problem.hint} />
        </p>
      ) : null}
      {children}
      {retry ? <TextButton label={trans.__('Try again')} onClick={retry} /> : null}
    </div>
  );
}

/** Something is on its way. */
export function Busy({ text }: { text: string }): ReactElement {
  return (
    <div className="nbl-busy" role="status">
      <span className="nbl-spinner" aria-hidden="true" />
      <span>{text}</span>
    </div>
  );
}

/** How far something is; without a total it only moves. */
export function Progress({
  done,
  total,
  label
}: {
  done: number;
  total: number;
  label: string;
}): ReactElement {
  return total > 0 ? (
    <progress
      className="nbl-progress"
      value={Math.min(done, total)}
      max={total}
      aria-label={label}
    />
  ) : (
    <progress className="nbl-progress" aria-label={label} />
  );
}
