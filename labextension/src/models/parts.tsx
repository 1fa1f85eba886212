import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReactElement } from 'react';

import type { IModelVersion } from '../api/types';
import { Chip } from '../detail/pieces';
import { Commands } from '../names';
import { useLive } from '../shared/hooks';
import { Empty, TextButton } from '../shared/parts';
import type { ILedger } from '../tokens';
import { gateOf } from './gate';

export function Gate({
  version,
  trans
}: {
  version: IModelVersion;
  trans: TranslationBundle;
}): ReactElement {
  const gate = gateOf(version);
  if (!gate) {
    return <span className="nbl-models-none">{trans.__('no gate')}</span>;
  }
  const title = gate.facts.map(([key, value]) => `${key}: ${value}`).join('\n');
  return (
    <Chip
      text={gate.word ? trans.__('gate: %1', gate.word.slice(0, 60)) : trans.__('gate')}
      mood={gate.mood}
      title={title || undefined}
    />
  );
}

/** How many promotions wait for approval; nothing where none does. */
export function Waits({
  count,
  trans
}: {
  count: number;
  trans: TranslationBundle;
}): ReactElement | null {
  return count ? (
    <Chip text={trans._n('%1 waits for approval', '%1 wait for approval', count)} mood="warn" />
  ) : null;
}

/** So many of a model's versions are fetched at most, besides those in use. */
const FETCHED = 50;

export function versionCount(many: number, trans: TranslationBundle): string {
  return many > FETCHED
    ? trans.__('%1+ versions', FETCHED)
    : trans._n('%1 version', '%1 versions', many);
}

export function Aliases({ names }: { names: readonly string[] }): ReactElement {
  return (
    <span className="nbl-models-aliases">
      {names.slice(0, 20).map(name => (
        <Chip key={name} text={`@${name}`} />
      ))}
    </span>
  );
}

/** Whether there is no repository at all, so that nothing but the state is answered. */
export function useNoRepository(ledger: ILedger): boolean {
  return useLive(ledger.state).value?.code.repository === false;
}

export function NoRepository(props: { ledger: ILedger; commands: CommandRegistry }): ReactElement {
  const { trans } = props.ledger;
  return (
    <Empty text={trans.__('This folder is no ledger yet.')}>
      <TextButton
        kind="accept"
        label={trans.__('Make it one…')}
        onClick={() => {
          void props.commands.execute(Commands.init);
        }}
      />
    </Empty>
  );
}
