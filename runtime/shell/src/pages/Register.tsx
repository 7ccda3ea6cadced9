// The registration page. An invitation comes in the fragment of the address, which no server and no log sees.

import { SignInMethod } from '@mozaiks/client/identity';
import { useEffect, useState } from 'react';
import { Button } from '../components/Button';
import { Checkbox, PasswordField, TextField } from '../components/Field';
import { Form } from '../components/Form';
import { Icon } from '../components/Icon';
import { SessionNotice } from '../components/Gate';
import { Title } from '../components/Page';
import { useCore } from '../contexts/AuthContext';
import { dropFragment, place } from '../location';
import { useIntent, useQuery } from '../query';
import { Link } from '../Router';
import { useStore } from '../store';
import { faultsOf, useSubmission } from '../submission';

export function Register() {
  const core = useCore();
  const { query } = useStore(place);
  const [invitation] = useState(readInvitation);
  const methods = useQuery('methods', (signal) => core.identity.auth.listSignInMethods({ parent: core.home }, { signal }));
  const closed = methods.data !== undefined && !isOpen(methods.data) && invitation === '';
  useEffect(() => {
    if (invitation !== '') dropFragment();
  }, [invitation]);

  return (
    <>
      <Title>Create your account</Title>
      <p className="lead">{closed ? 'Registration is closed. Ask whoever runs this site for an invitation.' : 'One account for all your apps.'}</p>
      <SessionNotice />
      {invitation !== '' && (
        <div className="note">
          <Icon name="check" />
          <p className="note-text">You were invited to run this installation. Your account gets the rights that come with it.</p>
        </div>
      )}
      {!closed && <RegisterForm invitation={invitation} />}
      <p className="aside">
        Have an account? <Link to={`/login${query}`}>Sign in</Link>
      </p>
    </>
  );
}

function RegisterForm({ invitation }: { invitation: string }) {
  const { session } = useCore();
  const [displayName, setDisplayName] = useState('');
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [remember, setRemember] = useState(false);
  const intent = useIntent();
  const form = useSubmission({
    fields: ['email', 'password', 'profile.display_name'],
    check: () =>
      faultsOf({
        email: email.trim() === '' && 'Enter your e-mail address.',
        password: password === '' && 'Choose a password.',
      }),
    send() {
      const ask = { email: email.trim(), password, remember, displayName: displayName.trim(), invitation };
      return session.register(ask, intent(ask));
    },
  });

  return (
    <Form label="Create your account" onSubmit={form.submit} refusals={form.refusals} failure={form.failure}>
      <TextField
        label="Name"
        optional
        name="name"
        autoComplete="name"
        maxLength={80}
        value={displayName}
        onValue={setDisplayName}
        fault={form.faults['profile.display_name']}
      />
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
        autoComplete="new-password"
        hint="At least 8 characters. A few unrelated words make a good one."
        value={password}
        onValue={setPassword}
        fault={form.faults['password']}
      />
      <Checkbox label="Stay signed in for 30 days" name="remember" checked={remember} onChecked={setRemember} />
      <Button type="submit" look="main" pending={form.pending}>
        Create account
      </Button>
    </Form>
  );
}

function readInvitation(): string {
  return new URLSearchParams(location.hash.slice(1)).get('invitation') ?? '';
}

function isOpen({ methods, registrationOpen }: { methods: readonly SignInMethod[]; registrationOpen: boolean }): boolean {
  return registrationOpen && methods.includes(SignInMethod.PASSWORD);
}
