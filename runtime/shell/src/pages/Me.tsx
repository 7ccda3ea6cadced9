// The person's own account: profile, password, sessions, appearance.

import type { GetMeResponse } from '@mozaiks/client/identity';
import { useState } from 'react';
import { Badge } from '../components/Badge';
import { Fact, Facts } from '../components/Facts';
import { Blank, Page, Skeleton } from '../components/Page';
import { Section } from '../components/Section';
import { ThemeSwitch } from '../components/ThemeSwitch';
import { Time } from '../components/Time';
import { useAccount, useCore } from '../contexts/AuthContext';
import { PasswordForm } from './PasswordForm';
import { type ProfileChange, ProfileForm } from './ProfileForm';
import { Sessions } from './Sessions';

export function Me() {
  const core = useCore();
  const { me, failure } = useAccount();
  // Whether everything but this session was ended at once; after a changed password the list is read anew.
  const [cut, setCut] = useState(false);
  const [passwords, setPasswords] = useState(0);
  const onCut = () => setCut(true);
  return (
    <Page title="Profile" lead={<p>Who you are here, and where you are signed in.</p>}>
      <Section title="About you" about="What others see of you.">
        {me !== undefined && <Account me={me} />}
        {me === undefined && failure !== undefined && <Blank failure={failure} retry={() => void core.loadAccount()} />}
        {me === undefined && failure === undefined && (
          <Skeleton what="your profile">
            <span className="bone field" />
            <span className="bone field" />
            <span className="bone field" />
          </Skeleton>
        )}
      </Section>
      <Section title="Password" about="Changing it ends everything else you are signed in with. This browser stays signed in.">
        <PasswordForm
          onChanged={() => {
            onCut();
            setPasswords(passwords + 1);
          }}
        />
      </Section>
      <Section title="Sessions" about="Every browser and program you are signed in with. End what you do not know.">
        <Sessions key={passwords} cut={cut} onCut={onCut} />
      </Section>
      <Section title="Appearance" about="Kept in this browser.">
        <ThemeSwitch labelled />
      </Section>
    </Page>
  );
}

function Account({ me: { user } }: { me: GetMeResponse }) {
  const core = useCore();
  async function save(change: ProfileChange, requestId: string): Promise<void> {
    const answer = await core.identity.me.updateMe({ name: `${core.home}/me`, ...change, requestId });
    if (answer.user !== undefined) core.keepUser(answer.user);
  }

  if (user === undefined) return <p>The server says nothing about this account.</p>;
  return (
    <>
      <Facts>
        <Fact what="E-mail">
          <span className="breaks">{user.email}</span>
          {user.emailVerified ? <Badge tone="good">Verified</Badge> : <Badge>Not verified</Badge>}
        </Fact>
        <Fact what="Member since">
          <Time at={user.createTime} as="day" />
        </Fact>
      </Facts>
      <ProfileForm user={user} save={save} refresh={core.loadAccount} />
    </>
  );
}
