// What is pressed. A button that is at work keeps its place and its focus, and ignores further presses.

import type { ComponentProps, MouseEvent, ReactNode } from 'react';
import { Link } from '../Router';
import { Icon, type IconName } from './Icon';

export type Look = 'main' | 'plain' | 'quiet' | 'danger';

interface ButtonProps extends Omit<ComponentProps<'button'>, 'disabled'> {
  readonly look?: Look;
  readonly icon?: IconName;
  readonly pending?: boolean;
  readonly children: ReactNode;
}

export function Button({ look = 'plain', icon, pending = false, type = 'button', onClick, children, ...rest }: ButtonProps) {
  function press(event: MouseEvent<HTMLButtonElement>): void {
    if (pending) event.preventDefault();
    else onClick?.(event);
  }
  return (
    <button {...rest} type={type} className={`button ${look}`} aria-disabled={pending} aria-busy={pending} onClick={press}>
      {pending ? <span className="spinner" aria-hidden="true" /> : icon && <Icon name={icon} />}
      <span>{children}</span>
    </button>
  );
}

export function ButtonLink({ to, look = 'plain', icon, children }: { to: string; look?: Look; icon?: IconName; children: ReactNode }) {
  return (
    <Link to={to} className={`button ${look}`}>
      {icon && <Icon name={icon} />}
      <span>{children}</span>
    </Link>
  );
}
