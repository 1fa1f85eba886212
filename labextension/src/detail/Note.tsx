import { Notification } from '@jupyterlab/apputils';
import { useState, type ReactElement } from 'react';

import { TextButton } from '../shared/parts';
import { Part, Said, type IView } from './pieces';

/** The run's note, as text; MLflow shows the same as Markdown. */
export function Note({ detail, model, trans }: IView): ReactElement {
  const [draft, setDraft] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const write = async (text: string): Promise<boolean> => {
    const run = detail.run.run_id;
    const ok = await model.ledger.attempt(async () => {
      await model.api.note(run, text);
      return true;
    });
    await model.refresh();
    return ok === true;
  };
  const save = async (text: string) => {
    const before = detail.note;
    setBusy(true);
    const done = await write(text);
    setBusy(false);
    if (!done) {
      return; // what was typed stays
    }
    setDraft(null);
    Notification.success(trans.__('The note was saved.'), {
      autoClose: 5_000,
      actions: [{ label: trans.__('Undo'), callback: () => void write(before) }]
    });
  };
  if (draft !== null) {
    return (
      <Part title={trans.__('Note')}>
        <textarea
          className="jp-mod-styled nbl-detail-note"
          aria-label={trans.__('Note')}
          rows={5}
          maxLength={5_000}
          autoFocus
          value={draft}
          onChange={event => {
            setDraft(event.target.value);
          }}
          onKeyDown={event => {
            if (event.key === 'Escape') {
              setDraft(null);
            } else if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
              void save(draft);
            }
          }}
        />
        <div className="nbl-detail-acts">
          <TextButton
            kind="accept"
            label={trans.__('Save')}
            title={trans.__('Save (Ctrl+Enter)')}
            disabled={busy || draft === detail.note}
            onClick={() => void save(draft)}
          />
          <TextButton
            label={trans.__('Cancel')}
            onClick={() => {
              setDraft(null);
            }}
          />
        </div>
      </Part>
    );
  }
  return (
    <Part
      title={trans.__('Note')}
      action={
        detail.deleted ? null : (
          <TextButton
            kind="minimal"
            label={detail.note ? trans.__('Edit note') : trans.__('Add a note')}
            onClick={() => {
              setDraft(detail.note);
            }}
          />
        )
      }
    >
      {detail.note ? (
        <p className="nbl-detail-noted" tabIndex={0}>
          <bdi>{detail.note}</bdi>
        </p>
      ) : (
        <Said>{trans.__('No note.')}</Said>
      )}
    </Part>
  );
}
