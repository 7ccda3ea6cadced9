// The person's own account: profile, sessions, appearance.

import type { GetMeResponse } from '@mozaiks/client/identity';
import { Badge } from '../components/Badge';
import { Blank, Page, Skeleton } from '../components/Page';
import { ThemeSwitch } from '../components/ThemeSwitch';
import { Time } from '../components/Time';
import { useAccount, useCore } from '../contexts/AuthContext';
import { ProfileForm } from './ProfileForm';
import { Sessions } from './Sessions';

export function Me() {
  const core = useCore();
  const { me, failure } = useAccount();
  return (
    <Page title="Profile" lead={<p>Who you are here, and where you are signed in.</p>}>
      <section className="section split" aria-labelledby="about-you">
        <div className="section-head">
          <h2 id="about-you">About you</h2>
          <p>What others see of you.</p>
        </div>
        <div className="section-body">
          {me !== undefined && <Account me={me} />}
          {me === undefined && failure !== undefined && <Blank failure={failure} retry={() => void core.loadAccount()} />}
          {me === undefined && failure === undefined && (
            <Skeleton what="your profile">
              <span className="bone field" />
              <span className="bone field" />
              <span className="bone field" />
            </Skeleton>
          )}
        </div>
      </section>
      <section className="section split" aria-labelledby="sessions">
        <div className="section-head">
          <h2 id="sessions">Sessions</h2>
          <p>Every browser and program you are signed in with. End what you do not know.</p>
        </div>
        <div className="section-body">
          <Sessions />
        </div>
      </section>
      <section className="section split" aria-labelledby="appearance">
        <div className="section-head">
          <h2 id="appearance">Appearance</h2>
          <p>Kept in this browser.</p>
        </div>
        <div className="section-body">
          <ThemeSwitch labelled />
        </div>
      </section>
    </Page>
  );
}

function Account({ me: { user } }: { me: GetMeResponse }) {
  if (user === undefined) return <p>The server says nothing about this account.</p>;
  return (
    <>
      <dl className="facts">
        <div>
          <dt>E-mail</dt>
          <dd>
            <span className="breaks">{user.email}</span>
            {user.emailVerified ? <Badge tone="good">Verified</Badge> : <Badge>Not verified</Badge>}
          </dd>
        </div>
        <div>
          <dt>Member since</dt>
          <dd>
            <Time at={user.createTime} as="day" />
          </dd>
        </div>
      </dl>
      <ProfileForm user={user} />
    </>
  );
}
