// What a person may not do is not offered but explained. The server enforces it in any case.

import type { ReactNode } from 'react';
import { Icon } from '../../components/Icon';
import type { OpenApp } from './AppFrame';

interface NeedsProps {
  readonly app: OpenApp;
  readonly permission: string;
  /** What it is for: `see the people of this app`. */
  readonly to: string;
  readonly children: ReactNode;
}

export function Needs({ app, permission, to, children }: NeedsProps) {
  if (app.may(permission)) return children;
  return (
    <div className="note">
      <Icon name="key" />
      <div className="note-text">
        <p>{`You may not ${to}.`}</p>
        <p className="note-more">
          It takes the permission <code>{permission}</code>, which an owner of the app can give.
        </p>
      </div>
    </div>
  );
}
