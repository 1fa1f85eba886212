import type { TranslationBundle } from '@jupyterlab/translation';
import { useEffect, type ReactElement } from 'react';

import type { Api } from '../api/api';
import type { Query } from '../api/client';
import type { IPreview } from '../api/types';
import { ask } from '../detail/dialogs/ask';
import { Busy, Problem } from '../shared/parts';
import { Bdi } from '../shared/text';
import { useFetched } from './fetched';

/** Typing pauses for so many milliseconds before it is asked what would happen. */
const PAUSE = 350;
const MOST = 60;

export interface IForeseen<T> {
  readonly title: string;
  /** What the button says: a verb. */
  readonly button: string;
  readonly initial: T;
  readonly complete: (value: T) => boolean;
  /** The kind of `GET preview` and its words, which are those of the action itself. */
  readonly kind: string;
  readonly words: (value: T) => Query;
  readonly fields: (value: T, set: (value: T) => void) => ReactElement;
  readonly api: Pick<Api, 'preview'>;
  readonly trans: TranslationBundle;
}

interface IHeld<T> {
  readonly value: T;
  /** The words that the server said it would do. */
  readonly agreed: string | null;
}

/**
 * Ask for what an action needs, and say all the while what it would do. The button is on once the server has said so of the
 * very words that are there. Null when it was cancelled.
 */
export async function askForeseen<T>(options: IForeseen<T>): Promise<T | null> {
  const { trans, complete, words, initial } = options;
  const held = await ask<IHeld<T>>({
    title: options.title,
    button: options.button,
    initial: { value: initial, agreed: null },
    valid: ({ value, agreed }) => complete(value) && agreed === JSON.stringify(words(value)),
    form: (now, set) => (
      <>
        {options.fields(now.value, value => {
          set({ ...now, value });
        })}
        <Foreseen
          api={options.api}
          kind={options.kind}
          words={complete(now.value) ? words(now.value) : null}
          agreed={now.agreed}
          agree={agreed => {
            set({ ...now, agreed });
          }}
          trans={trans}
        />
      </>
    ),
    trans
  });
  return held?.value ?? null;
}

function Foreseen(props: {
  api: Pick<Api, 'preview'>;
  kind: string;
  words: Query | null;
  agreed: string | null;
  agree: (words: string | null) => void;
  trans: TranslationBundle;
}): ReactElement | null {
  const { api, kind, words, trans } = props;
  const asked = words && JSON.stringify(words);
  const { value, problem } = useFetched(asked, () => api.preview(kind, words ?? {}), null, PAUSE);
  const agreed = value && !problem && value.refused === null ? asked : null;
  useEffect(() => {
    if (agreed !== props.agreed) {
      props.agree(agreed);
    }
  });
  if (asked === null) {
    return null;
  }
  return (
    <div className="nbl-models-will" aria-live="polite">
      {problem ? <Problem problem={problem} trans={trans} /> : null}
      {value || problem ? null : <Busy text={trans.__('Looking at what would happen…')} />}
      {value && !problem ? <Will preview={value} trans={trans} /> : null}
    </div>
  );
}

/** What would happen, a line a thing; what replaces something stands out. */
export function Will({
  preview,
  trans
}: {
  preview: IPreview;
  trans: TranslationBundle;
}): ReactElement {
  return (
    <>
      {preview.refused ? <Problem problem={preview.refused} trans={trans} /> : null}
      <ul className="nbl-detail-will">
        {preview.lines.slice(0, MOST).map((line, at) => (
          <li key={at} className={line.startsWith('  ') ? 'nbl-mod-part' : ''}>
            <Bdi text={line.trimStart()} />
          </li>
        ))}
        {preview.overwrites.slice(0, MOST).map((line, at) => (
          <li key={`over ${at}`} className="nbl-detail-caution">
            <Bdi text={line} />
          </li>
        ))}
        {preview.lines.length > MOST ? (
          <li>{trans.__('… and %1 more', preview.lines.length - MOST)}</li>
        ) : null}
      </ul>
    </>
  );
}
