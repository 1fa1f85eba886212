import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import { useEffect, useState, type ReactElement, type ReactNode } from 'react';

import type { Api } from '../api/api';
import type { Query } from '../api/client';
import type { IPreview, IProblem } from '../api/types';
import type { ILedger } from '../tokens';
import { problemOf } from './live';
import { Busy, Problem } from './parts';
import { Bdi } from './text';

/** More lines than this are counted. */
const MOST = 100;

export interface IConfirm {
  /** The preview's kind (push, pull, track, checkpoint, undo, restore …) and the words of the action itself. */
  readonly kind: string;
  readonly words?: Query;
  /** The dialog's title while the preview, which brings its own, is on its way. */
  readonly title: string;
  /** What the button says: a verb. */
  readonly button: string;
  /** The project that it is about, where that need not be the one on screen. */
  readonly api?: Api;
  /** Ask for one line of text as well. */
  readonly ask?: { readonly label: string; readonly value?: string; readonly required?: boolean };
  /** What else the dialog shows, above what will happen. */
  readonly children?: ReactNode;
}

/**
 * Say exactly what an action will do, from `GET preview`, and ask. What was typed (or ""), or null when it was cancelled.
 * The button stays off until it is known what will happen, and where nbledger refuses.
 */
export async function confirm(ledger: ILedger, options: IConfirm): Promise<string | null> {
  const body = new Body(ledger, options);
  const { trans } = ledger;
  const accept = Dialog.okButton({ label: options.button });
  const dialog = new Guarded({
    title: options.title,
    body,
    buttons: [Dialog.cancelButton({ label: trans.__('Cancel') }), accept],
    focusNodeSelector: '.nbl-confirm-ask input'
  });
  dialog.addClass('nbl-confirm-dialog');
  body.switched = (on, overwrites) => {
    dialog.allowed = on;
    const button = dialog.node.querySelector<HTMLButtonElement>('.jp-Dialog-footer .jp-mod-accept');
    if (button) {
      button.disabled = !on;
      button.classList.toggle('jp-mod-warn', overwrites);
      if (on && !options.ask) {
        button.focus();
      }
    }
  };
  void dialog.ready.then(() => {
    body.ready = true;
    body.settle();
  });
  const result = await dialog.launch();
  return result.button.accept ? (result.value ?? '') : null;
}

/** A dialog whose Enter key accepts nothing before it is known what there is to accept. */
class Guarded extends Dialog<string> {
  allowed = false;

  override resolve(index?: number): void {
    if (this.allowed || index === 0) {
      super.resolve(index);
    }
  }
}

/** Text in, text out; the dialog asks the widget for its value. */
class Body extends ReactWidget implements Dialog.IBodyWidget {
  ready = false;
  switched: (on: boolean, overwrites: boolean) => void = () => undefined;

  constructor(
    private readonly ledger: ILedger,
    private readonly options: IConfirm
  ) {
    super();
    this.text = options.ask?.value ?? '';
    this.addClass('nbl-confirm');
  }

  getValue(): string {
    return this.text;
  }

  settle(): void {
    const typed = !this.options.ask?.required || this.text.trim() !== '';
    const preview = this.preview;
    if (this.ready) {
      this.switched(
        preview !== null && preview.refused === null && typed,
        (preview?.overwrites.length ?? 0) > 0
      );
    }
  }

  override render(): ReactElement {
    return (
      <Confirmation
        ledger={this.ledger}
        options={this.options}
        typed={text => {
          this.text = text;
          this.settle();
        }}
        loaded={preview => {
          this.preview = preview;
          this.settle();
        }}
      />
    );
  }

  private text: string;
  private preview: IPreview | null = null;
}

function Confirmation({
  ledger,
  options,
  typed,
  loaded
}: {
  ledger: ILedger;
  options: IConfirm;
  typed: (text: string) => void;
  loaded: (preview: IPreview) => void;
}): ReactElement {
  const [preview, setPreview] = useState<IPreview | null>(null);
  const [problem, setProblem] = useState<IProblem | null>(null);
  const [text, setText] = useState(options.ask?.value ?? '');
  const { trans } = ledger;
  useEffect(() => {
    (options.api ?? ledger.api).preview(options.kind, options.words).then(
      found => {
        setPreview(found);
        loaded(found);
      },
      (reason: unknown) => {
        setProblem(problemOf(reason));
      }
    );
    // Asked once, for the dialog's life.
  }, []);
  return (
    <>
      {options.children}
      {options.ask ? (
        <label className="nbl-confirm-ask">
          <span>{options.ask.label}</span>
          <input
            type="text"
            className="jp-mod-styled"
            value={text}
            onChange={event => {
              setText(event.target.value);
              typed(event.target.value);
            }}
          />
        </label>
      ) : null}
      <div aria-live="polite">
        {problem ? <Problem problem={problem} trans={trans} /> : null}
        {preview ? <Preview preview={preview} ledger={ledger} heading={options.title} /> : null}
        {preview || problem ? null : <Busy text={trans.__('Looking at what would happen…')} />}
      </div>
    </>
  );
}

function Preview({
  preview,
  ledger,
  heading
}: {
  preview: IPreview;
  ledger: ILedger;
  heading: string;
}): ReactElement {
  const { trans } = ledger;
  const said = heading.toLowerCase().includes(preview.title.toLowerCase());
  return (
    <>
      {preview.title && !said ? (
        <p className="nbl-confirm-title">
          <Bdi text={preview.title} />
        </p>
      ) : null}
      {preview.refused ? <Problem problem={preview.refused} trans={trans} /> : null}
      <Lines lines={preview.lines} ledger={ledger} />
      {preview.overwrites.length ? (
        <div className="nbl-confirm-overwrites">
          <p>{trans.__('This will be overwritten:')}</p>
          <Lines lines={preview.overwrites} ledger={ledger} />
        </div>
      ) : null}
    </>
  );
}

function Lines({
  lines,
  ledger
}: {
  lines: readonly string[];
  ledger: ILedger;
}): ReactElement | null {
  return lines.length ? (
    <ul className="nbl-confirm-lines">
      {lines.slice(0, MOST).map((line, at) => (
        <li key={at} className={line.startsWith('  ') ? 'nbl-confirm-part' : ''}>
          <Bdi text={line.trimStart()} />
        </li>
      ))}
      {lines.length > MOST ? (
        <li>{ledger.trans.__('… and %1 more', lines.length - MOST)}</li>
      ) : null}
    </ul>
  ) : null;
}
