// Labelled inputs with their hints and faults. Must not decide what is valid.

import { type ComponentProps, type ReactNode, useId, useState } from 'react';
import { Icon } from './Icon';

interface Frame {
  readonly label: string;
  readonly hint?: ReactNode;
  /** Why the value was refused. */
  readonly fault?: string | undefined;
  readonly optional?: boolean;
}

interface Value {
  readonly value: string;
  readonly onValue: (value: string) => void;
}

type TextFieldProps = Frame & Value & Omit<ComponentProps<'input'>, 'value' | 'onChange' | 'id'> & { readonly prefix?: string };

export function TextField({ label, hint, fault, optional, value, onValue, prefix, ...rest }: TextFieldProps) {
  const id = useId();
  return (
    <FieldFrame id={id} label={label} hint={hint} fault={fault} optional={optional}>
      <span className="control">
        {prefix !== undefined && <span className="prefix">{prefix}</span>}
        <input {...rest} {...described(id, hint, fault)} value={value} onChange={(event) => onValue(event.target.value)} />
      </span>
    </FieldFrame>
  );
}

type PasswordFieldProps = Frame & Value & { readonly name: string; readonly autoComplete: 'current-password' | 'new-password' };

export function PasswordField({ label, hint, fault, optional, value, onValue, name, autoComplete }: PasswordFieldProps) {
  const id = useId();
  const [shown, setShown] = useState(false);
  return (
    <FieldFrame id={id} label={label} hint={hint} fault={fault} optional={optional}>
      <span className="control">
        <input
          {...described(id, hint, fault)}
          type={shown ? 'text' : 'password'}
          name={name}
          autoComplete={autoComplete}
          autoCapitalize="none"
          spellCheck={false}
          value={value}
          onChange={(event) => onValue(event.target.value)}
        />
        <button type="button" className="inside" aria-pressed={shown} aria-controls={id} onClick={() => setShown(!shown)}>
          <Icon name={shown ? 'eye-off' : 'eye'} />
          <span className="unseen">Show password</span>
        </button>
      </span>
    </FieldFrame>
  );
}

type TextAreaProps = Frame & Value & { readonly name: string; readonly rows: number };

export function TextArea({ label, hint, fault, optional, value, onValue, ...rest }: TextAreaProps) {
  const id = useId();
  return (
    <FieldFrame id={id} label={label} hint={hint} fault={fault} optional={optional}>
      <span className="control">
        <textarea {...rest} {...described(id, hint, fault)} value={value} onChange={(event) => onValue(event.target.value)} />
      </span>
    </FieldFrame>
  );
}

type SelectProps = Frame & Value & {
  readonly name: string;
  readonly autoComplete: string;
  readonly options: readonly { readonly value: string; readonly label: string }[];
};

/** A value that is none of the options stays, and is shown as it is. */
export function SelectField({ label, hint, fault, value, onValue, options, ...rest }: SelectProps) {
  const id = useId();
  const known = options.some((option) => option.value === value);
  return (
    <FieldFrame id={id} label={label} hint={hint} fault={fault}>
      <span className="control select">
        <select {...rest} {...described(id, hint, fault)} value={value} onChange={(event) => onValue(event.target.value)}>
          {!known && <option value={value}>{value}</option>}
          {options.map((option) => (
            <option key={option.value} value={option.value}>
              {option.label}
            </option>
          ))}
        </select>
      </span>
    </FieldFrame>
  );
}

export function Checkbox({ label, hint, checked, onChecked, name }: {
  label: string;
  hint?: string;
  name: string;
  checked: boolean;
  onChecked: (checked: boolean) => void;
}) {
  const id = useId();
  return (
    <div className="choice">
      <input {...described(id, hint, undefined)} type="checkbox" name={name} checked={checked} onChange={(event) => onChecked(event.target.checked)} />
      <label htmlFor={id}>{label}</label>
      {hint !== undefined && <p id={`${id}-hint`} className="hint">{hint}</p>}
    </div>
  );
}

export interface Option<V extends string> {
  readonly value: V;
  readonly label: string;
  readonly hint: string;
}

/** One of a few, each with its meaning beside it. */
export function RadioCards<V extends string>({ legend, name, options, value, onValue }: {
  legend: string;
  name: string;
  options: readonly Option<V>[];
  value: V;
  onValue: (value: V) => void;
}) {
  const id = useId();
  return (
    <fieldset className="cards">
      <legend>{legend}</legend>
      {options.map((option) => (
        <label key={option.value} className="card-choice">
          <input
            type="radio"
            name={name}
            checked={option.value === value}
            aria-describedby={`${id}-${option.value}`}
            aria-labelledby={`${id}-${option.value}-label`}
            onChange={() => onValue(option.value)}
          />
          <span className="card-text">
            <span id={`${id}-${option.value}-label`} className="card-label">{option.label}</span>
            <span id={`${id}-${option.value}`} className="hint">{option.hint}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}

function FieldFrame({ id, label, hint, fault, optional, children }: Omit<Frame, 'optional'> & {
  id: string;
  optional?: boolean | undefined;
  children: ReactNode;
}) {
  return (
    <div className={fault === undefined ? 'field' : 'field faulty'}>
      <label htmlFor={id}>
        {label}
        {optional === true && <span className="optional"> (optional)</span>}
      </label>
      {children}
      {hint !== undefined && <p id={`${id}-hint`} className="hint">{hint}</p>}
      {fault !== undefined && (
        <p id={`${id}-fault`} className="fault">
          <Icon name="alert" />
          {fault}
        </p>
      )}
    </div>
  );
}

function described(id: string, hint: ReactNode, fault: string | undefined) {
  const by = [fault !== undefined && `${id}-fault`, hint !== undefined && `${id}-hint`].filter((part) => part !== false);
  return { id, 'aria-invalid': fault !== undefined, 'aria-describedby': by.length === 0 ? undefined : by.join(' ') };
}
