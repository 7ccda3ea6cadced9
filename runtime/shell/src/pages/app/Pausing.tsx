// Closing an app for a while, and opening it again.

import { AppState } from '@mozaiks/client/identity';
import { useState } from 'react';
import { Button } from '../../components/Button';
import { Failure } from '../../components/Failure';
import { TextField } from '../../components/Field';
import { Form } from '../../components/Form';
import { useAction } from '../../query';
import { faultsOf, useSubmission } from '../../submission';
import type { OpenApp } from './AppFrame';

export function Pausing({ open }: { open: OpenApp }) {
  return open.app.state === AppState.PAUSED ? <ResumeButton open={open} /> : <PauseForm open={open} />;
}

function PauseForm({ open }: { open: OpenApp }) {
  const [reason, setReason] = useState('');
  const form = useSubmission({
    fields: ['reason'],
    check: () => faultsOf({ reason: reason.trim() === '' && 'Say why, so that the others know.' }),
    async send() {
      open.keep((await open.identity.apps.pauseApp({ name: open.app.name, reason: reason.trim() })).app);
    },
  });
  return (
    <Form label="Pause" onSubmit={form.submit} refusals={form.refusals} failure={form.failure}>
      <TextField
        label="Reason"
        name="reason"
        autoComplete="off"
        maxLength={200}
        hint="The app’s staff sees it. Until the app is resumed nobody else signs in to it."
        value={reason}
        onValue={setReason}
        fault={form.faults['reason']}
      />
      <div className="actions">
        <Button type="submit" icon="pause" pending={form.pending}>
          Pause app
        </Button>
      </div>
    </Form>
  );
}

function ResumeButton({ open }: { open: OpenApp }) {
  const resume = useAction(async () => {
    open.keep((await open.identity.apps.resumeApp({ name: open.app.name })).app);
  });
  return (
    <>
      <p>Sessions from before the pause live on once the app is resumed.</p>
      {resume.failure !== undefined && <Failure failure={resume.failure} />}
      <div className="actions">
        <Button look="main" pending={resume.pending} onClick={resume.run}>
          Resume app
        </Button>
      </div>
    </>
  );
}
