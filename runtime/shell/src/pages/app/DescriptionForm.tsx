// The form that changes what an app is called; it refuses to overwrite a newer version.

import { useState } from 'react';
import { Button } from '../../components/Button';
import { TextArea, TextField } from '../../components/Field';
import { Form } from '../../components/Form';
import { Said } from '../../components/Said';
import { useAction, useIntent } from '../../query';
import { faultsOf, useSubmission } from '../../submission';
import type { OpenApp } from './AppFrame';

export function DescriptionForm({ open }: { open: OpenApp }) {
  const [said, setSaid] = useState('');
  // A newer version of the app starts the fields afresh; what was said about it stays.
  return <Fields key={open.app.etag} open={open} said={said} say={setSaid} />;
}

function Fields({ open, said, say }: { open: OpenApp; said: string; say: (said: string) => void }) {
  const { app, identity } = open;
  const [displayName, setDisplayName] = useState(app.displayName);
  const [description, setDescription] = useState(app.description);
  const intent = useIntent();
  const newest = useAction(async () => {
    await open.refresh();
    say('This is the newest version');
  });
  const form = useSubmission({
    fields: ['display_name', 'description'],
    check: () => faultsOf({ display_name: displayName.trim() === '' && 'Give the app a name.' }),
    async send() {
      say('');
      const wish = { name: app.name, etag: app.etag, displayName: displayName.trim(), description: description.trim() };
      const paths = [wish.displayName !== app.displayName && 'display_name', wish.description !== app.description && 'description'];
      const updateMask = { paths: paths.filter((path) => path !== false) };
      if (updateMask.paths.length === 0) return say('Nothing has changed');
      const answer = await identity.apps.updateApp({ app: wish, updateMask, requestId: intent({ wish, updateMask }) });
      open.keep(answer.app);
      say('Saved');
    },
  });

  return (
    <Form label="Name and description" onSubmit={form.submit} refusals={form.refusals} failure={form.failure} newest={newest}>
      <TextField
        label="Name"
        name="display-name"
        autoComplete="off"
        maxLength={80}
        value={displayName}
        onValue={setDisplayName}
        fault={form.faults['display_name']}
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
      <div className="actions">
        <Button type="submit" look="main" pending={form.pending}>
          Save changes
        </Button>
        <Said>{said}</Said>
      </div>
    </Form>
  );
}
