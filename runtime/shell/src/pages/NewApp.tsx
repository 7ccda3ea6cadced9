// The page on which an app is made.

import { AppMode } from '@mozaiks/client/identity';
import { useState } from 'react';
import { Button, ButtonLink } from '../components/Button';
import { type Option, RadioCards, TextArea, TextField } from '../components/Field';
import { Form } from '../components/Form';
import { Page } from '../components/Page';
import { useCore } from '../contexts/AuthContext';
import type { FieldFaults } from '../failures';
import { navigate } from '../location';
import { BackToApps } from '../Navigation';
import { useIntent } from '../query';
import { build } from '../routes';
import { faultsOf, useSubmission } from '../submission';

type Mode = 'live' | 'test';

const MODES: readonly Option<Mode>[] = [
  { value: 'live', label: 'Live', hint: 'For real people and real data.' },
  { value: 'test', label: 'Test', hint: 'For trying things out.' },
];

const ID = /^[a-z][a-z0-9-]{2,39}$/;

export function NewApp() {
  return (
    <Page narrow back={<BackToApps />} title="New app" lead={<p>It gets its own people, sign-in and data. You become its owner.</p>}>
      <NewAppForm />
    </Page>
  );
}

function NewAppForm() {
  const core = useCore();
  const [displayName, setDisplayName] = useState('');
  // Follows the name until the person writes an address of their own.
  const [ownId, setOwnId] = useState<string>();
  const [description, setDescription] = useState('');
  const [mode, setMode] = useState<Mode>('live');
  const appId = ownId ?? idFrom(displayName);
  const intent = useIntent();
  const form = useSubmission({
    fields: ['display_name', 'app_id', 'description'],
    check: () => check(displayName, appId),
    async send() {
      const app = {
        displayName: displayName.trim(),
        description: description.trim(),
        mode: mode === 'test' ? AppMode.TEST : AppMode.LIVE,
      };
      const answer = await core.identity.apps.createApp({ app, appId, requestId: intent({ app, appId }) });
      const made = answer.app?.name.replace('apps/', '') ?? appId;
      navigate(build('/apps/:app', { app: made }), { replace: true });
    },
  });

  return (
    <Form label="New app" onSubmit={form.submit} refusals={form.refusals} failure={form.failure}>
      <TextField
        label="Name"
        name="display-name"
        autoComplete="off"
        maxLength={80}
        value={displayName}
        onValue={setDisplayName}
        fault={form.faults['display_name']}
      />
      <TextField
        label="Address"
        name="app-id"
        prefix="apps/"
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        maxLength={40}
        hint="Names the app in links and programs. It never changes and is never given again."
        value={appId}
        onValue={setOwnId}
        fault={form.faults['app_id']}
      />
      <TextArea
        label="Description"
        optional
        name="description"
        rows={3}
        value={description}
        onValue={setDescription}
        fault={form.faults['description']}
      />
      <RadioCards legend="What is it for?" name="mode" options={MODES} value={mode} onValue={setMode} />
      <div className="actions">
        <Button type="submit" look="main" pending={form.pending}>
          Create app
        </Button>
        <ButtonLink to="/" look="quiet">
          Cancel
        </ButtonLink>
      </div>
    </Form>
  );
}

function check(displayName: string, appId: string): FieldFaults {
  return faultsOf({
    display_name: displayName.trim() === '' && 'Give the app a name.',
    app_id: !ID.test(appId) && 'Use 3 to 40 lower-case letters, digits and hyphens, beginning with a letter.',
  });
}

/** An id made from a name: `Café Zoë` is `cafe-zoe`. */
function idFrom(name: string): string {
  return name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replace(/-+$/, '');
}
