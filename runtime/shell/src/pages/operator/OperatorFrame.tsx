// What the pages of operators share once they are open.

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
  const isRefused = query.failure?.code === Code.PermissionDenied;
  return (
    <Page title={title} lead={<p>{lead}</p>}>
      {isRefused && <OperatorsOnly />}
      {!isRefused && (
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
