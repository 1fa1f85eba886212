import { useEffect, useRef, useState, type ReactElement } from 'react';

import type { IRun } from '../api/types';
import { nameOf } from '../runs/texts';
import { wordsIn } from '../runs/model/filter';
import { time } from '../shared/format';
import { useChanges } from '../shared/hooks';
import { Clip } from '../shared/text';
import { PRESENT, type CompareModel } from './model';

const MOST = 40;

/** Another run (or the present state) beside those that are compared. */
export function AddRun({ model }: { readonly model: CompareModel }): ReactElement {
  const { trans } = model.ledger;
  const [open, setOpen] = useState(false);
  return (
    <span className="nbl-anchor">
      <button
        type="button"
        className="nbl-button"
        aria-expanded={open}
        aria-haspopup="dialog"
        onClick={() => {
          setOpen(!open);
        }}
      >
        {trans.__('Add a run')}
      </button>
      {open && (
        <Choice
          model={model}
          onClose={() => {
            setOpen(false);
          }}
        />
      )}
    </span>
  );
}

function Choice({
  model,
  onClose
}: {
  readonly model: CompareModel;
  readonly onClose: () => void;
}): ReactElement {
  const { trans } = model.ledger;
  const runs = useRuns(model);
  const [text, setText] = useState('');
  const place = useRef<HTMLInputElement>(null);
  useEffect(() => {
    place.current?.focus();
  }, []);
  const compared = new Set(model.names);
  const holds = wordsIn(text);
  const found = runs.filter(run => !compared.has(run.run_id) && holds(run)).slice(0, MOST);
  const add = (name: string): void => {
    model.add(name);
    onClose();
  };
  return (
    <div
      className="nbl-popover nbl-mod-left"
      role="dialog"
      aria-label={trans.__('Add a run')}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          onClose();
        }
      }}
      onBlur={event => {
        if (event.relatedTarget && !event.currentTarget.contains(event.relatedTarget)) {
          onClose();
        }
      }}
    >
      <div className="nbl-chooser-head">
        <input
          ref={place}
          type="text"
          className="nbl-filter-input"
          placeholder={trans.__('Find a run')}
          aria-label={trans.__('Find a run')}
          value={text}
          onChange={event => {
            setText(event.target.value);
          }}
        />
      </div>
      <ul className="nbl-choice">
        {!compared.has(PRESENT) && !text && (
          <li>
            <button
              type="button"
              onClick={() => {
                add(PRESENT);
              }}
            >
              {trans.__('The present state')}
            </button>
          </li>
        )}
        {found.map(run => (
          <li key={run.run_id}>
            <button
              type="button"
              onClick={() => {
                add(run.run_id);
              }}
            >
              <Clip text={nameOf(run)} />
              <span className="nbl-quiet">{time(run.start)}</span>
            </button>
          </li>
        ))}
        {!found.length && <li className="nbl-quiet">{trans.__('No run matches.')}</li>}
      </ul>
    </div>
  );
}

/** The runs of the comparison's project, which need not be the one on screen. */
function useRuns({ ledger, api, path }: CompareModel): readonly IRun[] {
  useChanges(ledger.runs.changed, ledger.projectChanged);
  const here = ledger.path === path;
  const [elsewhere, setElsewhere] = useState<readonly IRun[]>([]);
  useEffect(() => {
    let wanted = !here;
    if (wanted) {
      void ledger
        .attempt(() => api.runs())
        .then(answer => {
          if (wanted && answer) {
            setElsewhere(answer.runs);
          }
        });
    }
    return () => {
      wanted = false;
    };
  }, [ledger, api, here]);
  return here ? ledger.runs.list : elsewhere;
}
