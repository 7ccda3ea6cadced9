// Changing one's own password.

import { useState } from 'react';
import { Button } from '../components/Button';
import { PasswordField } from '../components/Field';
import { Form } from '../components/Form';
import { Said } from '../components/Said';
import { useCore } from '../contexts/AuthContext';
import { faultsOf, useSubmission } from '../submission';

export function PasswordForm({ onChanged }: { onChanged: () => void }) {
  const core = useCore();
  const [current, setCurrent] = useState('');
  const [next, setNext] = useState('');
  const [said, setSaid] = useState('');
  const form = useSubmission({
    fields: ['current_password', 'new_password'],
    check: () =>
      faultsOf({
        current_password: current === '' && 'Enter your present password.',
        new_password: next === '' && 'Choose a new password.',
      }),
    async send() {
      setSaid('');
      await core.changePassword(current, next);
      setCurrent('');
      setNext('');
      setSaid('Your password is changed. Everything else you were signed in with has ended.');
      onChanged();
    },
  });
  return (
    <Form label="Password" onSubmit={form.submit} refusals={form.refusals} failure={form.failure}>
      <PasswordField
        label="Present password"
        name="current-password"
        autoComplete="current-password"
        value={current}
        onValue={setCurrent}
        fault={form.faults['current_password']}
      />
      <PasswordField
        label="New password"
        name="new-password"
        autoComplete="new-password"
        hint="At least 8 characters. A few unrelated words make a good one."
        value={next}
        onValue={setNext}
        fault={form.faults['new_password']}
      />
      <div className="actions">
        <Button type="submit" look="main" pending={form.pending}>
          Change password
        </Button>
      </div>
      <Said>{said}</Said>
    </Form>
  );
}
