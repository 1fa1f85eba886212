import type { TranslationBundle } from '@jupyterlab/translation';
import { clearIcon } from '@jupyterlab/ui-components';
import { useId, type ReactElement } from 'react';

import { IconButton } from '../shared/parts';
import { Bdi } from '../shared/text';
import type { RunsModel } from './model/model';

/** Words, or MLflow's filter syntax; what is wrong with it stands below while the table stays as it was. */
export function FilterBox({
  model,
  trans
}: {
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}): ReactElement {
  const id = useId();
  const { search } = model;
  const { problem } = search;
  return (
    <div className="nbl-filter" role="search">
      <div className={`nbl-filter-box${problem ? ' nbl-mod-wrong' : ''}`}>
        <input
          type="text"
          className="nbl-filter-input"
          value={search.text}
          maxLength={4_000}
          spellCheck={false}
          autoComplete="off"
          placeholder={trans.__('Filter: words, or metrics.loss < 0.3')}
          title={trans.__(
            "Words that must all occur in name, parameters or tags; or MLflow's syntax: metrics.loss < 0.3 and params.kind = 'gini'"
          )}
          aria-label={trans.__('Filter runs')}
          aria-invalid={problem !== null}
          aria-describedby={id}
          onChange={event => {
            search.type(event.target.value);
          }}
          onKeyDown={event => {
            if (event.key === 'Escape' && search.text) {
              event.stopPropagation();
              search.type('');
            }
          }}
        />
        {search.busy && <span className="nbl-spinner" aria-hidden="true" />}
        {search.text && (
          <IconButton
            icon={clearIcon}
            label={trans.__('Clear the filter')}
            onClick={() => {
              search.type('');
            }}
          />
        )}
      </div>
      <div id={id} aria-live="polite" className="nbl-filter-problem">
        {problem && (
          <>
            <Bdi text={problem.error} />
            {problem.hint && (
              <>
                {' '}
                <Bdi className="nbl-quiet" text={problem.hint} />
              </>
            )}
          </>
        )}
      </div>
    </div>
  );
}
