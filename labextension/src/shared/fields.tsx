import { useId, type ReactElement, type ReactNode } from 'react';

/** So many suggestions at most: a browser draws each of a list's. */
const MOST = 500;

/** A field of a dialog under its label; what `children` has after the input says more of it. */
export function Field({ label, children }: { label: string; children: ReactNode }): ReactElement {
  return (
    <label className="nbl-detail-field">
      <span>{label}</span>
      {children}
    </label>
  );
}

export interface ISuggestion {
  readonly value: string;
  readonly text?: string;
}

interface ITextFieldProps {
  readonly label: string;
  readonly value: string;
  readonly set: (value: string) => void;
  /** What may be chosen; anything else can be typed. */
  readonly suggestions?: readonly (string | ISuggestion)[];
  readonly required?: boolean;
  readonly placeholder?: string;
  /** What is written in a language for machines: in type of one width, not checked for spelling. */
  readonly code?: boolean;
  readonly maxLength?: number;
  readonly children?: ReactNode;
}

export function TextField(props: ITextFieldProps): ReactElement {
  const id = useId();
  const { suggestions } = props;
  return (
    <Field label={props.label}>
      <input
        type="text"
        className={props.code ? 'jp-mod-styled nbl-mod-code' : 'jp-mod-styled'}
        list={suggestions ? id : undefined}
        required={props.required}
        placeholder={props.placeholder}
        spellCheck={props.code ? false : undefined}
        maxLength={props.maxLength}
        value={props.value}
        onChange={event => {
          props.set(event.target.value);
        }}
      />
      {suggestions ? (
        <datalist id={id}>
          {suggestions
            .slice(0, MOST)
            .map(one => (typeof one === 'string' ? { value: one, text: undefined } : one))
            .map(one => (
              <option key={one.value} value={one.value}>
                {one.text}
              </option>
            ))}
        </datalist>
      ) : null}
      {props.children}
    </Field>
  );
}
