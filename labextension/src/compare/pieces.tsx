import type { TranslationBundle } from '@jupyterlab/translation';
import { useId, useState, type ReactElement, type ReactNode } from 'react';

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

/** What differs between two sides where both have it. */
export function differ(values: readonly unknown[]): boolean {
  return values.some(value => value !== values[0]);
}
