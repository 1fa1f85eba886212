import type { TranslationBundle } from '@jupyterlab/translation';
import { useId, useState, type ReactElement, type ReactNode } from 'react';

import type { ICompared } from '../api/types';
import { NONE } from '../shared/charts';
import { TextButton } from '../shared/parts';

export interface IPartProps {
  readonly title: string;
  readonly count?: number;
  readonly children: ReactNode;
}

/** A part of the comparison under its heading. */
export function Part({ title, count, children }: IPartProps): ReactElement {
  const id = useId();
  return (
    <section className="nbl-part" aria-labelledby={id}>
      <h2 id={id}>
        {title}
        {count !== undefined && <span className="nbl-quiet"> {count}</span>}
      </h2>
      {children}
    </section>
  );
}

/** The first `most` of a long list, and the rest when it is asked for. */
export function Capped<T>({
  all,
  most,
  trans,
  children
}: {
  readonly all: readonly T[];
  readonly most: number;
  readonly trans: TranslationBundle;
  readonly children: (shown: readonly T[]) => ReactNode;
}): ReactElement {
  const [open, setOpen] = useState(false);
  return (
    <>
      {children(open ? all : all.slice(0, most))}
      {all.length > most && !open && (
        <TextButton
          label={trans.__('Show all %1', all.length)}
          onClick={() => {
            setOpen(true);
          }}
        />
      )}
    </>
  );
}

/** Kinds of things of which it can be that nobody recorded them of a run. */
export type Kind = 'code' | 'data' | 'environment' | 'seed' | 'parameter';

/** What stands for each side that has no value: a dash for none, a question mark where nobody recorded that kind. */
export function blanks(sides: readonly ICompared[], kind: Kind): readonly string[] {
  return sides.map(side => (side.unknown.includes(kind) ? UNKNOWN : NONE));
}

const UNKNOWN = '?';

/** What differs between sides of which it is known. */
export function differ(values: readonly unknown[], none: readonly string[] = []): boolean {
  const known = values.filter((value, at) => value !== null || none[at] !== UNKNOWN);
  return known.some(value => value !== known[0]);
}
