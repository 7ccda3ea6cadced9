// The form on which a profile is changed; it refuses to overwrite a newer version. Must not know whose profile it is.

import type { User } from '@mozaiks/client/identity';
import { useState } from 'react';
import { Button } from '../components/Button';
import { SelectField, TextField } from '../components/Field';
import { Form } from '../components/Form';
import { Said } from '../components/Said';
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

/** A change to a profile at the version that was read. */
export interface ProfileChange {
  readonly user: { readonly etag: string; readonly profile: Draft };
  readonly updateMask: { paths: string[] };
}

interface ProfileFormProps {
  readonly user: User;
  readonly save: (change: ProfileChange, requestId: string) => Promise<void>;
  /** Reads the newest version. */
  readonly refresh: () => Promise<void>;
}

export function ProfileForm(props: ProfileFormProps) {
  const [said, setSaid] = useState('');
  // A newer version of the account starts the fields afresh; what was said about it stays.
  return <ProfileFields key={props.user.etag} {...props} said={said} say={setSaid} />;
}

function ProfileFields({ user, save, refresh, said, say }: ProfileFormProps & { said: string; say: (said: string) => void }) {
  const before = draftOf(user);
  const [draft, setDraft] = useState(before);
  const intent = useIntent();
  const newest = useAction(async () => {
    await refresh();
    say('This is the newest version');
  });
  const form = useSubmission({
    fields: Object.values(PATHS),
    check: () => ({}),
    async send() {
      say('');
      const changed = FIELDS.filter((field) => draft[field] !== before[field]);
      if (changed.length === 0) return say('Nothing has changed');
      const change = { user: { etag: user.etag, profile: draft }, updateMask: { paths: changed.map((field) => PATHS[field]) } };
      await save(change, intent(change));
      say('Saved');
    },
  });
  const input = (field: keyof Draft) => ({
    value: draft[field],
    onValue: (value: string) => setDraft({ ...draft, [field]: value }),
    fault: form.faults[PATHS[field]],
  });

  return (
    <Form label="Profile" onSubmit={form.submit} refusals={form.refusals} failure={form.failure} newest={newest}>
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
        <Said>{said}</Said>
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
