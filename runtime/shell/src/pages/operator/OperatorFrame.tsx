// What the pages of operators share. They work on the admin listener alone; elsewhere they say so.

import { Code } from '@mozaiks/client';
import type { ReactNode } from 'react';
import { ButtonLink } from '../../components/Button';
import { Loaded, Page } from '../../components/Page';
import { RowBones } from '../../components/RowBones';
import { Tabs } from '../../components/Tabs';
import type { Query } from '../../query';

const TABS = [
  { to: '/operator', label: 'Installation' },
  { to: '/operator/apps', label: 'All apps' },
];

export function OperatorFrame<T>({ title, lead, query, children }: {
  title: string;
  lead: string;
  query: Query<T>;
  children: (data: T) => ReactNode;
}) {
  const isElsewhere = query.failure?.code === Code.Unimplemented;
  const isRefused = query.failure?.code === Code.PermissionDenied;
  return (
    <Page title={title} lead={<p>{lead}</p>}>
      {isElsewhere && <Elsewhere />}
      {isRefused && <OperatorsOnly />}
      {!isElsewhere && !isRefused && (
        <>
          <Tabs label="Operation" tabs={TABS} />
          <div className="page-body">
            <Loaded query={query} what="the installation" skeleton={<RowBones />}>
              {children}
            </Loaded>
          </div>
        </>
      )}
    </Page>
  );
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

function OperatorsOnly() {
  return (
    <div className="blank">
      <p className="blank-title">These pages are for operators</p>
      <p>
        You are signed in as somebody who does not run this installation. Whoever holds the machine invites operators with{' '}
        <code>mozaiks operator invite</code>.
      </p>
      <div className="actions">
        <ButtonLink to="/">Go to your apps</ButtonLink>
      </div>
    </div>
  );
}
