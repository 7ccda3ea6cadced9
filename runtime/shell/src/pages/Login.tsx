// The sign-in page.

import { useState } from 'react';
import { Button } from '../components/Button';
import { Checkbox, PasswordField, TextField } from '../components/Field';
import { Form } from '../components/Form';
import { SessionNotice } from '../components/Gate';
import { Title } from '../components/Page';
import { useCore } from '../contexts/AuthContext';
import { place } from '../location';
import { useIntent } from '../query';
import { Link } from '../Router';
import { useStore } from '../store';
import { faultsOf, useSubmission } from '../submission';

export function Login() {
  const { session } = useCore();
  const { query } = useStore(place);
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [remember, setRemember] = useState(false);
  const intent = useIntent();
  const form = useSubmission({
    fields: ['email', 'password'],
    check: () =>
      faultsOf({
        email: email.trim() === '' && 'Enter your e-mail address.',
        password: password === '' && 'Enter your password.',
      }),
    send() {
      const ask = { email: email.trim(), password, remember };
      return session.signIn(ask, intent(ask));
    },
  });

  return (
    <>
      <Title>Sign in</Title>
      <p className="lead">Welcome back.</p>
      <SessionNotice />
      <Form label="Sign in" onSubmit={form.submit} refusals={form.refusals} failure={form.failure}>
        <TextField
          label="E-mail address"
          type="email"
          name="email"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          value={email}
          onValue={setEmail}
          fault={form.faults['email']}
        />
        <PasswordField
          label="Password"
          name="password"
          autoComplete="current-password"
          value={password}
          onValue={setPassword}
          fault={form.faults['password']}
        />
        <Checkbox label="Stay signed in for 30 days" name="remember" checked={remember} onChecked={setRemember} />
        <Button type="submit" look="main" pending={form.pending}>
          Sign in
        </Button>
      </Form>
      <p className="aside">
        New here? <Link to={`/register${query}`}>Create an account</Link>
      </p>
    </>
  );
}
