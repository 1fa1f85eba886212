import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { useState, type ReactElement } from 'react';

export interface IAsk<T> {
  readonly title: string;
  /** What the button says: a verb. */
  readonly button: string;
  readonly warn?: boolean;
  readonly initial: T;
  readonly valid?: (value: T) => boolean;
  readonly form: (value: T, set: (value: T) => void) => ReactElement;
  readonly trans: TranslationBundle;
}

/** A dialog with a form; what was filled in, or null when it was cancelled. The button is on while the form is valid. */
export async function ask<T>(options: IAsk<T>): Promise<T | null> {
  const { trans, valid = () => true } = options;
  const ok = { label: options.button };
  const body = new Form(options);
  const dialog = new Guarded<T>({
    title: options.title,
    body,
    buttons: [
      Dialog.cancelButton({ label: trans.__('Cancel') }),
      options.warn ? Dialog.warnButton({ ...ok, accept: true }) : Dialog.okButton(ok)
    ]
  });
  dialog.addClass('nbl-detail-dialog');
  const settle = () => {
    const button = dialog.node.querySelector<HTMLButtonElement>('.jp-Dialog-footer .jp-mod-accept');
    dialog.allowed = valid(body.getValue());
    if (button) {
      button.disabled = !dialog.allowed;
    }
  };
  body.changed = settle;
  void dialog.ready.then(settle);
  const result = await dialog.launch();
  return result.button.accept && valid(body.getValue()) ? body.getValue() : null;
}

/** A dialog that the Enter key neither accepts nor closes while its button is off. */
class Guarded<T> extends Dialog<T> {
  allowed = true;

  override resolve(index?: number): void {
    if (this.allowed || index === 0) {
      super.resolve(index);
    }
  }
}

class Form<T> extends ReactWidget implements Dialog.IBodyWidget<T> {
  changed: () => void = () => undefined;

  constructor(private readonly options: IAsk<T>) {
    super();
    this.value = options.initial;
    this.addClass('nbl-detail-form');
  }

  getValue(): T {
    return this.value;
  }

  override render(): ReactElement {
    return (
      <Held
        initial={this.options.initial}
        form={this.options.form}
        changed={value => {
          this.value = value;
          this.changed();
        }}
      />
    );
  }

  private value: T;
}

function Held<T>(props: {
  initial: T;
  form: IAsk<T>['form'];
  changed: (value: T) => void;
}): ReactElement {
  const [value, setValue] = useState(props.initial);
  return props.form(value, next => {
    setValue(next);
    props.changed(next);
  });
}
