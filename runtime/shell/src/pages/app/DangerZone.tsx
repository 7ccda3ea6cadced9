// Deleting an app, and taking that back.

import { AppState } from '@mozaiks/client/identity';
import { useState } from 'react';
import { Button } from '../../components/Button';
import { Failure } from '../../components/Failure';
import { TextField } from '../../components/Field';
import { Form } from '../../components/Form';
import { Section } from '../../components/Section';
import { Time } from '../../components/Time';
import { useCore } from '../../contexts/AuthContext';
import { useAction } from '../../query';
import { faultsOf, useSubmission } from '../../submission';
import type { OpenApp } from './AppFrame';
import { Needs } from './Needs';

const PERMISSION = 'identity.apps.delete';

export function DangerZone({ app: open }: { app: OpenApp }) {
  const core = useCore();
  if (open.app.name === core.home) return <p>This app carries the installation: it can be neither paused nor deleted.</p>;
  if (open.app.state === AppState.DELETED) {
    return (
      <Section title="Take back the deletion" about="The app is active again, as it was. What had ended stays ended.">
        <Needs app={open} permission={PERMISSION} to="take back the deletion of this app">
          <UndeleteButton open={open} />
        </Needs>
      </Section>
    );
  }
  return (
    <Section title="Delete this app" about="For owners who have signed in within the last 15 minutes.">
      <Needs app={open} permission={PERMISSION} to="delete this app">
        <DeleteForm open={open} />
      </Needs>
    </Section>
  );
}

function DeleteForm({ open }: { open: OpenApp }) {
  const [confirm, setConfirm] = useState('');
  const newest = useAction(open.refresh);
  const form = useSubmission({
    fields: ['confirm'],
    check: () => faultsOf({ confirm: confirm.trim() !== open.id && `Type ${open.id} to delete the app.` }),
    async send() {
      const { name, etag } = open.app;
      open.keep((await open.identity.apps.deleteApp({ name, etag, confirm: confirm.trim() })).app);
    },
  });
  return (
    <Form label="Delete this app" onSubmit={form.submit} refusals={form.refusals} failure={form.failure} newest={newest}>
      <ul className="points">
        <li>Everybody in the app is signed out at once, and nobody can sign in.</li>
        <li>For 30 days its staff can take the deletion back. After that everything in it is gone.</li>
        <li>
          The address <code>{open.id}</code> is never given again.
        </li>
      </ul>
      <TextField
        label={`Type ${open.id} to confirm`}
        name="confirm"
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        value={confirm}
        onValue={setConfirm}
        fault={form.faults['confirm']}
      />
      <div className="actions">
        <Button type="submit" look="danger" pending={form.pending}>
          Delete this app
        </Button>
      </div>
    </Form>
  );
}

function UndeleteButton({ open }: { open: OpenApp }) {
  const undelete = useAction(async () => {
    open.keep((await open.identity.apps.undeleteApp({ name: open.app.name })).app);
  });
  return (
    <>
      <p>
        Possible until <Time at={open.app.purgeTime} as="moment" />.
      </p>
      {undelete.failure !== undefined && <Failure failure={undelete.failure} />}
      <div className="actions">
        <Button look="main" pending={undelete.pending} onClick={undelete.run}>
          Take back the deletion
        </Button>
      </div>
    </>
  );
}
