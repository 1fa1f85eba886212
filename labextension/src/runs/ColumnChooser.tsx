import type { TranslationBundle } from '@jupyterlab/translation';
import { useEffect, useRef, useState, type ReactElement } from 'react';

import { TextButton } from '../shared/parts';
import { Clip } from '../shared/text';
import { FIXED, type IColumn } from './model/columns';
import type { RunsModel } from './model/model';
import { heading } from './texts';

const MOST = 200;

export interface IColumnChooserProps {
  readonly model: RunsModel;
  readonly room: number;
  readonly trans: TranslationBundle;
  readonly onClose: () => void;
}

/** All columns that there could be, by kind, to be ticked. */
export function ColumnChooser({ model, room, trans, onClose }: IColumnChooserProps): ReactElement {
  const [text, setText] = useState('');
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    place.current?.querySelector('input')?.focus();
    const outside = (event: Event): void => {
      if (event.target instanceof Node && !place.current?.contains(event.target)) {
        onClose();
      }
    };
    document.addEventListener('pointerdown', outside, true);
    return () => {
      document.removeEventListener('pointerdown', outside, true);
    };
  }, [onClose]);
  const shown = new Set(model.shown(room));
  const groups: readonly [string, readonly IColumn[]][] = [
    [trans.__('Run'), FIXED.map(id => model.catalogue.column(id))],
    [trans.__('Metrics'), model.catalogue.list('metric')],
    [trans.__('Parameters'), model.catalogue.list('param')],
    [trans.__('Data'), model.catalogue.list('data')]
  ];
  return (
    <div
      ref={place}
      className="nbl-popover nbl-chooser"
      role="dialog"
      aria-label={trans.__('Columns')}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          onClose();
        }
      }}
    >
      <div className="nbl-chooser-head">
        <input
          type="text"
          className="nbl-filter-input"
          placeholder={trans.__('Find a column')}
          aria-label={trans.__('Find a column')}
          value={text}
          onChange={event => {
            setText(event.target.value);
          }}
        />
        <TextButton
          label={trans.__('Automatic')}
          title={trans.__('Let the table choose what differs between runs')}
          disabled={model.settings.shown === null}
          onClick={() => {
            model.show(null);
          }}
        />
      </div>
      <div className="nbl-chooser-list">
        {groups.map(([title, columns]) => (
          <Group
            key={title}
            title={title}
            columns={columns.filter(column =>
              heading(column, trans).toLowerCase().includes(text.toLowerCase())
            )}
            shown={shown}
            model={model}
            trans={trans}
          />
        ))}
      </div>
    </div>
  );
}

interface IGroupProps {
  readonly title: string;
  readonly columns: readonly IColumn[];
  readonly shown: ReadonlySet<string>;
  readonly model: RunsModel;
  readonly trans: TranslationBundle;
}

function Group({ title, columns, shown, model, trans }: IGroupProps): ReactElement | null {
  if (!columns.length) {
    return null;
  }
  return (
    <fieldset>
      <legend>{title}</legend>
      {columns.slice(0, MOST).map(column => (
        <label key={column.id}>
          <input
            type="checkbox"
            checked={shown.has(column.id)}
            onChange={() => {
              model.toggleColumn(column.id);
            }}
          />
          <Clip text={heading(column, trans)} />
        </label>
      ))}
      {columns.length > MOST && (
        <p className="nbl-quiet">
          {trans.__('and %1 more: type a part of the name', columns.length - MOST)}
        </p>
      )}
    </fieldset>
  );
}
