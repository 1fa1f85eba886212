import type { TranslationBundle } from '@jupyterlab/translation';
import type { KeyboardEvent, ReactElement } from 'react';

export const TABS = [
  'overview',
  'data',
  'code',
  'notebook',
  'environment',
  'artifacts',
  'related'
] as const;
export type Tab = (typeof TABS)[number];

export function isTab(value: unknown): value is Tab {
  return (TABS as readonly unknown[]).includes(value);
}

/** The notebook's panel is one of JupyterLab's own widgets, all else is drawn in one place. */
export function panelId(id: string, tab: Tab): string {
  return tab === 'notebook' ? `${id}-panel-notebook` : `${id}-panel`;
}

/** The tabs of a run's page; arrow keys go from one to the next, as everywhere. */
export function Tabs(props: {
  id: string;
  current: Tab;
  counts: Partial<Record<Tab, number>>;
  choose: (tab: Tab) => void;
  trans: TranslationBundle;
}): ReactElement {
  const { id, current, counts, choose, trans } = props;
  const names: Readonly<Record<Tab, string>> = {
    overview: trans.__('Overview'),
    data: trans.__('Data'),
    code: trans.__('Code'),
    notebook: trans.__('Notebook'),
    environment: trans.__('Environment'),
    artifacts: trans.__('Artifacts'),
    related: trans.__('Models and runs')
  };
  const onKeyDown = (event: KeyboardEvent<HTMLElement>) => {
    const at = TABS.indexOf(current);
    const last = TABS.length - 1;
    const to = {
      ArrowRight: at === last ? 0 : at + 1,
      ArrowLeft: at === 0 ? last : at - 1,
      Home: 0,
      End: last
    }[event.key];
    const next = to === undefined ? undefined : TABS[to];
    if (next) {
      event.preventDefault();
      choose(next);
      event.currentTarget.querySelector<HTMLElement>(`[data-tab="${next}"]`)?.focus();
    }
  };
  return (
    <div
      className="nbl-detail-tabs"
      role="tablist"
      aria-label={trans.__('Parts of the run')}
      onKeyDown={onKeyDown}
    >
      {TABS.map(tab => (
        <button
          key={tab}
          type="button"
          role="tab"
          id={`${id}-tab-${tab}`}
          data-tab={tab}
          aria-selected={tab === current}
          aria-controls={panelId(id, tab)}
          tabIndex={tab === current ? 0 : -1}
          onClick={() => {
            choose(tab);
          }}
        >
          {names[tab]}
          {counts[tab] ? <span className="nbl-detail-count">{counts[tab]}</span> : null}
        </button>
      ))}
    </div>
  );
}
