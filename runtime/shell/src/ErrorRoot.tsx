// The last resort: a page that broke while it was drawn. Must not depend on anything that may be broken too.

import { Component, type ReactNode } from 'react';
import { Failed } from './pages/Failed';

interface State {
  readonly cause: unknown;
  readonly broken: boolean;
}

export class ErrorRoot extends Component<{ children: ReactNode }, State> {
  override state: State = { cause: undefined, broken: false };

  static getDerivedStateFromError(cause: unknown): State {
    return { cause, broken: true };
  }

  override render(): ReactNode {
    const { broken, cause } = this.state;
    return broken ? <Failed cause={cause} /> : this.props.children;
  }
}
