// The form on which a person changes their profile; it refuses to overwrite a newer version.

import type { User } from '@mozaiks/client/identity';
import { useState } from 'react';
import { Button } from '../components/Button';
import { Failure } from '../components/Failure';
import { SelectField, TextField } from '../components/Field';
import { Form } from '../components/Form';
import { Icon } from '../components/Icon';
import { useCore } from '../contexts/AuthContext';
import { LANGUAGES } from '../languages';
import { useAction, useIntent } from '../query';
import { useSubmission } from '../submission';

const FIELDS = ['displayName', 'givenName', 'familyName', 'locale'] as const;
type Draft = Readonly<Record<(typeof FIELDS)[number], string>>;
const PATHS: Draft = {
  displayName: 'profile.display_name',
  givenName: 'profile.given_name',
  familyName: 'profile.family_name',
  locale: 'profile.locale',
};

type Said = '' | 'Saved' | 'Nothing has changed' | 'This is the newest version';

export function ProfileForm({ user }: { user: User }) {
  const [said, setSaid] = useState<Said>('');
  // A newer version of the account starts the fields afresh; what was said about it stays.
  return <ProfileFields key={user.etag} user={user} said={said} say={setSaid} />;
}

function ProfileFields({ user, said, say }: { user: User; said: Said; say: (said: Said) => void }) {
  const core = useCore();
  const before = draftOf(user);
  const [draft, setDraft] = useState(before);
  const intent = useIntent();
  const newest = useAction(async () => {
    await core.loadAccount();
    say('This is the newest version');
  });
  const form = useSubmission({
    fields: Object.values(PATHS),
    check: () => ({}),
    async send() {
      say('');
      const changed = FIELDS.filter((field) => draft[field] !== before[field]);
      if (changed.length === 0) return say('Nothing has changed');
      const ask = {
        name: `${core.home}/me`,
        user: { etag: user.etag, profile: draft },
        updateMask: { paths: changed.map((field) => PATHS[field]) },
      };
      const answer = await core.identity.me.updateMe({ ...ask, requestId: intent(ask) });
      if (answer.user !== undefined) core.keepUser(answer.user);
      say('Saved');
    },
  });
  const conflict = form.failure?.reason === 'ETAG_STALE' ? form.failure : undefined;
  const input = (field: keyof Draft) => ({
    value: draft[field],
    onValue: (value: string) => setDraft({ ...draft, [field]: value }),
    fault: form.faults[PATHS[field]],
  });

  return (
    <Form
      label="Profile"
      onSubmit={form.submit}
      refusals={form.refusals}
      failure={conflict === undefined ? form.failure : undefined}
    >
      {conflict !== undefined && (
        <Failure failure={conflict}>
          <Button pending={newest.pending} onClick={newest.run}>
            Load the newest
          </Button>
        </Failure>
      )}
      <TextField label="Name to show" name="display-name" autoComplete="name" maxLength={80} {...input('displayName')} />
      <div className="pair">
        <TextField label="Given name" optional name="given-name" autoComplete="given-name" maxLength={80} {...input('givenName')} />
        <TextField label="Family name" optional name="family-name" autoComplete="family-name" maxLength={80} {...input('familyName')} />
      </div>
      <SelectField label="Language" name="locale" autoComplete="language" options={LANGUAGES} {...input('locale')} />
      <div className="actions">
        <Button type="submit" look="main" pending={form.pending}>
          Save changes
        </Button>
        <p role="status" className="said">
          {said !== '' && (
            <>
              <Icon name="check" />
              {said}
            </>
          )}
        </p>
      </div>
    </Form>
  );
}

function draftOf({ profile }: User): Draft {
  return {
    displayName: profile?.displayName ?? '',
    givenName: profile?.givenName ?? '',
    familyName: profile?.familyName ?? '',
    locale: profile?.locale ?? '',
  };
}
