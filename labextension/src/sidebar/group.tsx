import type { TranslationBundle } from '@jupyterlab/translation';
import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import { memo, useId, useState, type ReactElement } from 'react';

import { count } from '../shared/format';
import { IconButton, TextButton } from '../shared/parts';
import { Bdi, Clip, cut, PathText } from '../shared/text';
import { act, iconOf, verb, type IHands } from './hands';
import type { IGroup } from './stateModel';

interface IProps {
  readonly group: IGroup;
  readonly trans: TranslationBundle;
  readonly hands: IHands;
}

/** A line with its action; what it counts is shown when it is opened. */
export function Group({ group, trans, hands }: IProps): ReactElement {
  const [open, setOpen] = useState(false);
  const list = useId();
  const { paths, deed, label } = group;
  const Caret = open ? caretDownIcon : caretRightIcon;
  return (
    <div className={`nbl-group nbl-mod-${group.tone}`} data-group={group.id}>
      <div className="nbl-line">
        {paths.length ? (
          <button
            type="button"
            className="nbl-toggle"
            aria-expanded={open}
            aria-controls={open ? list : undefined}
            onClick={() => {
              setOpen(!open);
            }}
          >
            <Caret.react tag="span" className="nbl-line-icon" aria-hidden="true" />
            <span className="nbl-toggle-label">{label}</span>
            <span className="nbl-count">{count(paths.length)}</span>
          </button>
        ) : (
          <Clip text={label} className="nbl-line-text" />
        )}
        {deed ? (
          <TextButton
            kind="minimal"
            label={verb(deed, trans)}
            title={paths.length ? `${label} (${count(paths.length)})` : label}
            onClick={() => {
              act(hands, deed, group);
            }}
          />
        ) : null}
      </div>
      {open && paths.length ? (
        <ul className="nbl-rows" id={list} aria-label={label}>
          {paths.slice(0, hands.most).map(path => (
            <Row key={path} path={path} group={group} trans={trans} hands={hands} />
          ))}
          {paths.length > hands.most ? (
            <li className="nbl-more">
              {trans.__('and %1 more', count(paths.length - hands.most))}
            </li>
          ) : null}
        </ul>
      ) : null}
    </div>
  );
}

const Row = memo(function Row({
  path,
  group,
  trans,
  hands
}: IProps & { readonly path: string }): ReactElement {
  const aside = group.asides[path];
  // A notebook is code, whatever its size.
  const each = group.each.filter(deed => deed !== 'track' || !path.endsWith('.ipynb'));
  return (
    <li className="nbl-row">
      {group.files ? (
        <button
          type="button"
          className="nbl-row-name"
          onClick={() => {
            hands.open(path);
          }}
        >
          <PathText path={path} />
        </button>
      ) : (
        <Clip text={path} className="nbl-row-name" />
      )}
      {aside ? <Bdi text={aside} className="nbl-aside" /> : null}
      {each.length ? (
        <span className="nbl-row-deeds">
          {each.map(deed => (
            <IconButton
              key={deed}
              icon={iconOf(deed)}
              label={`${verb(deed, trans)} (${cut(path, 200)})`}
              onClick={() => {
                act(hands, deed, group, path);
              }}
            />
          ))}
        </span>
      ) : null}
    </li>
  );
});
