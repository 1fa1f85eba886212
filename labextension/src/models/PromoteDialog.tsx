import type { TranslationBundle } from '@jupyterlab/translation';
import { useEffect, useId, type ReactElement } from 'react';

import type { Api } from '../api/api';
import type { IJudged, IModels, IPreview, IRun } from '../api/types';
import { ask } from '../detail/dialogs/ask';
import { aliasOk, nameOk } from '../detail/names';
import { Field, TextField } from '../shared/fields';
import { time } from '../shared/format';
import { Busy, Problem } from '../shared/parts';
import { Bdi, Clip, cut } from '../shared/text';
import { useFetched } from './fetched';
import { Will as Foreseen } from './foreseen';
import { Judgement } from './Judgement';
import {
  approvalsFor,
  complete,
  demanded,
  gateFor,
  gatedWords,
  isGated,
  keyOf,
  MOST_APPROVALS,
  NO_GATE,
  OWN,
  plainWords,
  type IPromotion
} from './promotion';

/** Typing pauses for so many milliseconds before it is asked what would happen. */
const PAUSE = 350;
const USUAL = ['champion', 'challenger'];
const MOST_RUNS = 200;

export interface IPromoteOptions {
  /** The run whose page it is; without one it is chosen in the dialog, from `runs`. */
  readonly run?: { readonly id: string; readonly name: string; readonly logged: readonly string[] };
  readonly runs: readonly IRun[];
  readonly model: string;
  readonly known: IModels;
  readonly api: Pick<Api, 'preview' | 'judge'>;
  readonly trans: TranslationBundle;
}

/** What to promote and by which gate; null when it was cancelled. The button is on when the server would do it. */
export function askPromote(options: IPromoteOptions): Promise<IPromotion | null> {
  const { run, known, trans } = options;
  return ask<IPromotion>({
    title: trans.__('Promote a model'),
    button: trans.__('Promote'),
    initial: {
      run: run?.id ?? '',
      logged: run?.logged[0] ?? '',
      model: options.model,
      alias: 'champion',
      gate: demanded(known, options.model, 'champion') ?? NO_GATE,
      condition: '',
      first: '',
      approvals: 0,
      agreed: null
    },
    valid: value => complete(value, known) && value.agreed === keyOf(value, known),
    form: (value, set) => <Form {...options} value={value} set={set} />,
    trans
  });
}

interface IFormProps extends IPromoteOptions {
  readonly value: IPromotion;
  readonly set: (value: IPromotion) => void;
}

function Form(props: IFormProps): ReactElement {
  const { run, known, value, set, trans } = props;
  const model = known.models.find(other => other.name === value.model.trim());
  const aliases = [...new Set([...USUAL, ...Object.keys(model?.aliases ?? {})])];
  return (
    <>
      {run ? (
        <p className="nbl-detail-subject">
          <Clip text={run.name || run.id} />
        </p>
      ) : (
        <WhichRun {...props} />
      )}
      {run && run.logged.length > 1 ? (
        <Field label={trans.__('Model of the run')}>
          <select
            className="jp-mod-styled"
            value={value.logged}
            onChange={event => {
              set({ ...value, logged: event.target.value });
            }}
          >
            {run.logged.map(name => (
              <option key={name} value={name}>
                {cut(name, 100)}
              </option>
            ))}
          </select>
        </Field>
      ) : null}
      <TextField
        label={trans.__('Registered name')}
        suggestions={known.models.map(one => one.name)}
        required
        value={value.model}
        set={name => {
          set({ ...value, model: name });
        }}
      >
        {value.model && !nameOk(value.model) ? (
          <small className="nbl-detail-wrong">
            {trans.__('A name takes no slash and no colon.')}
          </small>
        ) : null}
      </TextField>
      <TextField
        label={trans.__('Alias (none: leave it empty)')}
        suggestions={aliases}
        value={value.alias}
        set={alias => {
          set({ ...value, alias });
        }}
      >
        {aliasOk(value.alias) ? null : (
          <small className="nbl-detail-wrong">
            {trans.__('An alias is of letters, digits, _ and -; “latest” and “v1” are taken.')}
          </small>
        )}
      </TextField>
      <GateFields {...props} />
      <Will {...props} />
    </>
  );
}

/** The newest finished runs by name; any other can be typed. */
function WhichRun({ runs, value, set, trans }: IFormProps): ReactElement {
  const chosen = runs.find(run => run.run_id === value.run);
  return (
    <TextField
      label={trans.__('Run (choose one, or type its name or id)')}
      suggestions={runs
        .filter(run => run.status === 'FINISHED')
        .slice(0, MOST_RUNS)
        .map(run => ({ value: run.run_id, text: `${cut(run.name, 60)} · ${time(run.start)}` }))}
      required
      value={value.run}
      set={run => {
        set({ ...value, run });
      }}
    >
      {chosen ? (
        <small>
          <Clip text={`${chosen.name} · ${time(chosen.start)}`} />
        </small>
      ) : null}
    </TextField>
  );
}

/** Which gate it must pass, and who else must agree. */
function GateFields({ known, value, set, trans }: IFormProps): ReactElement {
  const id = useId();
  const must = demanded(known, value.model, value.alias);
  const gate = gateFor(value, known);
  const row = known.gates.find(one => one.name === gate);
  const others = approvalsFor(value, known);
  return (
    <>
      <Field label={trans.__('Gate')}>
        <select
          className="jp-mod-styled"
          value={gate}
          aria-describedby={`${id}-gate`}
          onChange={event => {
            set({ ...value, gate: event.target.value });
          }}
        >
          {must === null ? (
            <option value={NO_GATE}>{trans.__('none: register it as it is')}</option>
          ) : null}
          {known.gates.slice(0, 200).map(one => (
            <option key={one.name} value={one.name}>
              {cut(one.name, 60)}
            </option>
          ))}
          <option value={OWN}>{trans.__('a condition of your own')}</option>
        </select>
        <small id={`${id}-gate`}>
          {must !== null ? (
            <Bdi
              text={trans.__(
                'The settings demand the gate %1 for this alias; what you write is asked as well.',
                cut(must, 60)
              )}
            />
          ) : null}{' '}
          {row?.condition ? <code>{cut(row.condition, 400)}</code> : null}
        </small>
      </Field>
      {value.gate === OWN ? (
        <>
          <TextField
            label={trans.__('Condition')}
            placeholder="accuracy >= champion.accuracy + 0.005 and latency_ms < 50"
            code
            required
            maxLength={2500}
            value={value.condition}
            set={condition => {
              set({ ...value, condition });
            }}
          />
          <TextField
            label={trans.__('While the alias points at nothing (else the same)')}
            placeholder="accuracy > 0.8"
            code
            maxLength={2500}
            value={value.first}
            set={first => {
              set({ ...value, first });
            }}
          />
        </>
      ) : null}
      {gate === NO_GATE ? null : (
        <Field label={trans.__('Other people who must approve')}>
          <input
            type="number"
            className="jp-mod-styled"
            min={0}
            max={MOST_APPROVALS}
            value={Number.isNaN(value.approvals) ? '' : value.approvals}
            onChange={event => {
              set({ ...value, approvals: event.target.valueAsNumber });
            }}
          />
          {others > 0 ? (
            <small>
              {trans._n(
                'Nothing moves but @candidate until %1 other person has approved.',
                'Nothing moves but @candidate until %1 other people have approved.',
                others
              )}
            </small>
          ) : null}
        </Field>
      )}
    </>
  );
}

type Answer = { readonly judged: IJudged } | { readonly preview: IPreview };

/** What exactly would happen, said by the server while the words are typed. */
function Will({ api, known, value, set, trans }: IFormProps): ReactElement | null {
  const gated = isGated(value, known);
  const asked = complete(value, known) ? keyOf(value, known) : null;
  const { value: answer, problem } = useFetched<Answer>(
    asked,
    async () =>
      gated
        ? { judged: await api.judge(gatedWords(value, known)) }
        : { preview: await api.preview('promote', plainWords(value)) },
    null,
    PAUSE
  );
  const yes =
    answer !== null &&
    problem === null &&
    ('judged' in answer ? answer.judged.passed : answer.preview.refused === null);
  useEffect(() => {
    const agreed = yes ? asked : null;
    if (agreed !== value.agreed) {
      set({ ...value, agreed });
    }
  });
  if (asked === null) {
    return null;
  }
  return (
    <div className="nbl-models-will" aria-live="polite">
      {problem ? <Problem problem={problem} trans={trans} /> : null}
      {answer === null && !problem ? (
        <Busy text={trans.__('Looking at what would happen…')} />
      ) : null}
      {answer !== null && !problem && 'judged' in answer ? (
        <Judgement judged={answer.judged} trans={trans} />
      ) : null}
      {answer !== null && !problem && 'preview' in answer ? (
        <Foreseen preview={answer.preview} trans={trans} />
      ) : null}
    </div>
  );
}
