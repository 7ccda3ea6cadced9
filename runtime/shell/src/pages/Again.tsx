// Signing in once more, for what needs a fresh sign-in. Leads back to where it was asked for.

import { useState } from 'react';
import { Button, ButtonLink } from '../components/Button';
import { Checkbox, PasswordField, TextField } from '../components/Field';
import { Form } from '../components/Form';
import { Blank, Page, Skeleton } from '../components/Page';
import { useAccount, useCore } from '../contexts/AuthContext';
import { navigate, place, returnPath } from '../location';
import { useIntent } from '../query';
import { useStore } from '../store';
import { faultsOf, useSubmission } from '../submission';

export function Again() {
  const core = useCore();
  const { me, failure } = useAccount();
  const email = me?.user?.email;
  return (
    <Page narrow title="Sign in again" lead={<p>What you are about to do needs a fresh sign-in. You come back to it afterwards.</p>}>
      {email !== undefined && <AgainForm email={email} />}
      {email === undefined && failure !== undefined && <Blank failure={failure} retry={() => void core.loadAccount()} />}
      {email === undefined && failure === undefined && (
        <Skeleton what="your account">
          <span className="bone field" />
        </Skeleton>
      )}
    </Page>
  );
}

function AgainForm({ email }: { email: string }) {
  const core = useCore();
  const { query } = useStore(place);
  const back = returnPath(query);
  const [password, setPassword] = useState('');
  const [remember, setRemember] = useState(false);
  const intent = useIntent();
  const form = useSubmission({
    fields: ['current_password'],
    check: () => faultsOf({ current_password: password === '' && 'Enter your password.' }),
    async send() {
      const ask = { email, password, remember };
      await core.signInAgain(ask, intent(ask));
      navigate(back, { replace: true });
    },
  });
  return (
    <Form label="Sign in again" onSubmit={form.submit} refusals={form.refusals} failure={form.failure}>
      <TextField label="E-mail address" name="email" autoComplete="username" readOnly value={email} onValue={() => undefined} />
      <PasswordField
        label="Password"
        name="password"
        autoComplete="current-password"
        value={password}
        onValue={setPassword}
        fault={form.faults['current_password']}
      />
      <Checkbox label="Stay signed in for 30 days" name="remember" checked={remember} onChecked={setRemember} />
      <div className="actions">
        <Button type="submit" look="main" pending={form.pending}>
          Sign in again
        </Button>
        <ButtonLink to={back} look="quiet">
          Cancel
        </ButtonLink>
      </div>
    </Form>
  );
}
