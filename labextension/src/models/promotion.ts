/** What somebody asks for in the dialog that promotes a run's model, and how the server is asked for it. */

import type { Body } from '../api/api';
import type { Query } from '../api/client';
import type { IDemand, IGateRow, IModels } from '../api/types';
import { aliasOk, nameOk } from '../detail/names';

/** No gate at all; a condition that is written here; any other: the gate of that name. */
export const NO_GATE = '';
export const OWN = '\n';

export interface IPromotion {
  /** A run's id, or what somebody typed for one. */
  readonly run: string;
  readonly logged: string;
  readonly model: string;
  readonly alias: string;
  readonly gate: string;
  readonly condition: string;
  readonly first: string;
  /** So many other people must agree. */
  readonly approvals: number;
  /** The words (`keyOf`) that the server said yes to. */
  readonly agreed: string | null;
}

export const MOST_APPROVALS = 20;

/** The gate that the settings demand for this alias of this model; null if none. */
export function demanded(
  known: Pick<IModels, 'demands'>,
  model: string,
  alias: string
): string | null {
  const fits = (one: IDemand) => one.model === model.trim() && one.alias === alias.trim();
  return known.demands.find(fits)?.gate ?? null;
}

export function gateNamed(known: Pick<IModels, 'gates'>, name: string): IGateRow | null {
  return known.gates.find(gate => gate.name === name) ?? null;
}

/** The gate that counts: a demanded one cannot be left out. */
export function gateFor(value: IPromotion, known: Pick<IModels, 'gates' | 'demands'>): string {
  const must = demanded(known, value.model, value.alias);
  return value.gate === NO_GATE && must !== null ? must : value.gate;
}

/** How many people must approve: the gate's number or a greater one that was asked for. */
export function approvalsFor(value: IPromotion, known: Pick<IModels, 'gates' | 'demands'>): number {
  const must = demanded(known, value.model, value.alias);
  const names = [gateFor(value, known), ...(must === null ? [] : [must])];
  return Math.max(
    value.approvals || 0,
    ...names.map(name => gateNamed(known, name)?.approvals ?? 0)
  );
}

/** Whether the words can be asked at all. */
export function complete(value: IPromotion, known: Pick<IModels, 'gates' | 'demands'>): boolean {
  const gated = gateFor(value, known) !== NO_GATE;
  return (
    value.run.trim() !== '' &&
    nameOk(value.model) &&
    aliasOk(value.alias) &&
    (!gated || value.alias.trim() !== '') &&
    (value.gate !== OWN || value.condition.trim() !== '') &&
    Number.isInteger(value.approvals) &&
    value.approvals >= 0 &&
    value.approvals <= MOST_APPROVALS
  );
}

/** The words of a gated promotion, as `models/judge` and `models/promote` take them. */
export function gatedWords(value: IPromotion, known: Pick<IModels, 'gates' | 'demands'>): Query {
  const gate = gateFor(value, known);
  const text = (name: string, said: string) => (said.trim() ? { [name]: said.trim() } : {});
  return {
    run: value.run.trim(),
    model: value.model.trim(),
    ...text('alias', value.alias),
    ...text('logged', value.logged),
    ...(gate === OWN
      ? { condition: value.condition.trim(), ...text('first', value.first) }
      : gate === NO_GATE
        ? {}
        : { gate }),
    ...(approvalsFor(value, known) ? { approve_by: approvalsFor(value, known) } : {})
  };
}

/** The same without a gate, as `preview` and `promote` take them. */
export function plainWords(value: IPromotion): Query {
  const alias = value.alias.trim();
  return {
    run: value.run.trim(),
    ...(value.logged ? { logged: value.logged } : {}),
    model: value.model.trim(),
    ...(alias ? { alias } : {})
  };
}

/** What was asked, in one text: an answer belongs to one of these. */
export function keyOf(value: IPromotion, known: Pick<IModels, 'gates' | 'demands'>): string {
  const words: Body = isGated(value, known) ? gatedWords(value, known) : plainWords(value);
  return JSON.stringify([isGated(value, known), words]);
}

export function isGated(value: IPromotion, known: Pick<IModels, 'gates' | 'demands'>): boolean {
  return gateFor(value, known) !== NO_GATE || approvalsFor(value, known) > 0;
}
