import {
  checkIcon,
  circleEmptyIcon,
  copyIcon,
  errorIcon,
  runningIcon,
  stopIcon,
  type LabIcon
} from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import { useEffect, useId, useRef, useState, type ReactElement, type ReactNode } from 'react';

import type { IDetail } from '../api/types';
import { IconButton } from '../shared/parts';
import { Clip, cut } from '../shared/text';
import type { DetailModel } from './model';

/** What every part of a run's page is given. */
export interface IView {
  readonly detail: IDetail;
  readonly model: DetailModel;
  readonly commands: CommandRegistry;
  readonly trans: TranslationBundle;
}

/** Something that is said in place of what there is not. */
export function Said({ children }: { children: ReactNode }): ReactElement {
  return <p className="nbl-detail-said">{children}</p>;
}

/** A heading and what stands below it. */
export function Part(props: {
  title: string;
  count?: number;
  action?: ReactNode;
  children: ReactNode;
}): ReactElement {
  const id = useId();
  return (
    <section className="nbl-detail-part" aria-labelledby={id}>
      <div className="nbl-detail-part-head">
        <h3 id={id}>{props.title}</h3>
        {props.count === undefined ? null : (
          <span className="nbl-detail-count">{props.count.toLocaleString()}</span>
        )}
        {props.action}
      </div>
      {props.children}
    </section>
  );
}

/** Copies `text`, and says for a moment that it did. */
export function Copy({
  text,
  label,
  trans
}: {
  text: string;
  label: string;
  trans: TranslationBundle;
}): ReactElement {
  const [done, setDone] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>();
  useEffect(
    () => () => {
      clearTimeout(timer.current);
    },
    []
  );
  const copy = () => {
    void navigator.clipboard.writeText(text).then(() => {
      setDone(true);
      timer.current = setTimeout(() => {
        setDone(false);
      }, 1_500);
    });
  };
  return (
    <>
      <IconButton icon={done ? checkIcon : copyIcon} label={label} onClick={copy} />
      <span role="status" className="nbl-detail-unseen">
        {done ? trans.__('Copied') : ''}
      </span>
    </>
  );
}

/** The part of a hash that people say; a folder's keeps its ending. */
export function short(hash: string): string {
  return cut(hash.endsWith('.dir') ? `${hash.slice(0, 8)}.dir` : hash.slice(0, 8), 20);
}

/** A hash that can be copied whole; `of` says whose it is. */
export function Hash({
  text,
  of,
  trans
}: {
  text: string;
  of: string;
  trans: TranslationBundle;
}): ReactElement {
  return (
    <span className="nbl-detail-hash">
      <code title={cut(text, 100)}>{short(text)}</code>
      <Copy text={text} label={trans.__('Copy %1', cut(of, 60))} trans={trans} />
    </span>
  );
}

/** What leads somewhere, in text. */
export function Lead({
  text,
  title,
  onClick
}: {
  text: string;
  title?: string;
  onClick: () => void;
}): ReactElement {
  return (
    <button type="button" className="nbl-detail-lead" onClick={onClick}>
      <Clip text={text} title={title ?? text} />
    </button>
  );
}

const ICONS: Readonly<Record<string, LabIcon>> = {
  RUNNING: runningIcon,
  FINISHED: checkIcon,
  FAILED: errorIcon,
  KILLED: stopIcon
};

export function Status({
  status,
  trans
}: {
  status: string;
  trans: TranslationBundle;
}): ReactElement {
  const words: Readonly<Record<string, string>> = {
    RUNNING: trans.__('running'),
    FINISHED: trans.__('finished'),
    FAILED: trans.__('failed'),
    KILLED: trans.__('killed'),
    SCHEDULED: trans.__('scheduled')
  };
  const Icon = ICONS[status] ?? circleEmptyIcon;
  return (
    <span className="nbl-detail-status" data-status={status}>
      <Icon.react tag="span" aria-hidden="true" />
      {words[status] ?? cut(status, 40)}
    </span>
  );
}

export function verdictWord(verdict: string, trans: TranslationBundle): string {
  const words: Readonly<Record<string, string>> = {
    identical: trans.__('identical'),
    'within-tolerance': trans.__('within tolerance'),
    different: trans.__('different'),
    'not-restorable': trans.__('not restorable')
  };
  return words[verdict] ?? cut(verdict, 40);
}

/** A word in a frame; `mood` colours it, and never says more than the word. */
export function Chip({
  text,
  mood = 'plain',
  title
}: {
  text: string;
  mood?: 'plain' | 'good' | 'warn' | 'bad';
  title?: string;
}): ReactElement {
  return (
    <span className="nbl-detail-chip" data-mood={mood} title={title}>
      <Clip text={text} title={title ?? text} />
    </span>
  );
}

export function VerdictChip({
  verdict,
  trans
}: {
  verdict: string;
  trans: TranslationBundle;
}): ReactElement {
  const mood =
    { identical: 'good', 'within-tolerance': 'good', different: 'warn' }[verdict] ?? 'bad';
  return (
    <Chip
      text={verdictWord(verdict, trans)}
      mood={mood as 'good' | 'warn' | 'bad'}
      title={trans.__('What its newest reproduction concluded')}
    />
  );
}
