// Pages that work on the admin address alone; elsewhere they say where that is, and ask for nothing.

import type { ReactNode } from 'react';
import { ButtonLink } from '../../components/Button';
import { Page } from '../../components/Page';
import { useRuntime } from '../../contexts/RuntimeContext';

export function AdminOnly({ title, children }: { title: string; children: ReactNode }) {
  return useRuntime().admin ? children : <Page title={title}><Elsewhere /></Page>;
}

function Elsewhere() {
  return (
    <div className="blank">
      <p className="blank-title">Operators’ pages are on the admin address</p>
      <p>
        This is the public address, which never shows them. Open the admin address at the machine that runs the installation:
        it is printed when the server starts, <code>http://127.0.0.1:8019</code> unless it was set otherwise.
      </p>
      <div className="actions">
        <ButtonLink to="/">Go to your apps</ButtonLink>
      </div>
    </div>
  );
}
