import type { IModelVersion } from '../api/types';

/** What a gate said of a version: a word, whether it lets the version pass, and what else it wrote. */
export interface IGate {
  readonly word: string;
  readonly mood: 'plain' | 'good' | 'warn' | 'bad';
  readonly facts: readonly (readonly [string, string])[];
}

const PREFIX = 'nbledger.gate.';
const STATES = ['state', 'verdict', 'result', 'status'];
const GOOD = ['passed', 'pass', 'approved', 'yes', 'true', 'ok'];
const BAD = ['failed', 'fail', 'refused', 'rejected', 'no', 'false'];

/** Null where no gate wrote anything. */
export function gateOf(version: Pick<IModelVersion, 'gate'>): IGate | null {
  const facts = Object.entries(version.gate).map(
    ([key, value]) => [key.startsWith(PREFIX) ? key.slice(PREFIX.length) : key, value] as const
  );
  if (!facts.length) {
    return null;
  }
  const state = facts.find(([key]) => STATES.includes(key));
  const word = state?.[1] ?? '';
  const plain = word.toLowerCase();
  return {
    word,
    mood: GOOD.includes(plain) ? 'good' : BAD.includes(plain) ? 'bad' : word ? 'warn' : 'plain',
    facts: facts.filter(fact => fact !== state)
  };
}

/** The version that a reader most likely wants: the one an alias names, champion first, else the newest. */
export function foremost(versions: readonly IModelVersion[]): IModelVersion | undefined {
  return (
    versions.find(version => version.aliases.includes('champion')) ??
    versions.find(version => version.aliases.length > 0) ??
    newestFirst(versions)[0]
  );
}

export function newestFirst(versions: readonly IModelVersion[]): readonly IModelVersion[] {
  return [...versions].sort((a, b) => Number(b.version) - Number(a.version));
}
