import { closeIcon } from '@jupyterlab/ui-components';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReactElement } from 'react';

import { IconButton, TextButton } from '../../shared/parts';
import { Clip } from '../../shared/text';
import { ownTags, rowProblem, type ITagRow, type RowProblem, type Tags } from '../tags';
import { ask } from './ask';

/** The user's own tags as they are to be; null when it was cancelled. */
export function askTags(
  name: string,
  tags: Tags,
  trans: TranslationBundle
): Promise<readonly ITagRow[] | null> {
  const own = ownTags(tags);
  return ask<readonly ITagRow[]>({
    title: trans.__('Tags'),
    button: trans.__('Save'),
    initial: own.length ? own : [{ key: '', value: '' }],
    valid: rows => rows.every((_, index) => rowProblem(rows, index) === null),
    form: (rows, set) => <Form name={name} rows={rows} set={set} trans={trans} />,
    trans
  });
}

function Form(props: {
  name: string;
  rows: readonly ITagRow[];
  set: (rows: readonly ITagRow[]) => void;
  trans: TranslationBundle;
}): ReactElement {
  const { rows, set, trans } = props;
  const words: Readonly<Record<RowProblem, string>> = {
    empty: trans.__('A tag needs a name.'),
    reserved: trans.__('Names that begin with mlflow. or nbledger. are theirs.'),
    twice: trans.__('This name stands above already.'),
    characters: trans.__('A name is of letters, digits, spaces and _ - . : /'),
    long: trans.__('That is too long: 250 characters for a name, 8,000 for a value.')
  };
  return (
    <>
      <p className="nbl-detail-subject">
        <Clip text={props.name} />
      </p>
      <ul className="nbl-detail-tagrows">
        {rows.map((row, index) => {
          const problem = rowProblem(rows, index);
          const change = (next: Partial<ITagRow>) => {
            set(rows.map((other, at) => (at === index ? { ...other, ...next } : other)));
          };
          return (
            <li key={index}>
              <input
                type="text"
                className="jp-mod-styled"
                aria-label={trans.__('Name of tag %1', index + 1)}
                placeholder={trans.__('name')}
                aria-invalid={problem !== null}
                value={row.key}
                onChange={event => {
                  change({ key: event.target.value });
                }}
              />
              <input
                type="text"
                className="jp-mod-styled"
                aria-label={trans.__('Value of tag %1', index + 1)}
                placeholder={trans.__('value')}
                value={row.value}
                onChange={event => {
                  change({ value: event.target.value });
                }}
              />
              <IconButton
                icon={closeIcon}
                label={trans.__('Remove tag %1', index + 1)}
                onClick={() => {
                  set(rows.filter((_, at) => at !== index));
                }}
              />
              {problem ? <small className="nbl-detail-wrong">{words[problem]}</small> : null}
            </li>
          );
        })}
      </ul>
      <TextButton
        label={trans.__('Add a tag')}
        onClick={() => {
          set([...rows, { key: '', value: '' }]);
        }}
      />
    </>
  );
}
