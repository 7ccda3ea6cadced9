// The form on which the staff of an app adds a person.

import { useState } from 'react';
import { Button, ButtonLink } from '../../components/Button';
import { PasswordField, TextField } from '../../components/Field';
import { Form } from '../../components/Form';
import { Section } from '../../components/Section';
import { navigate } from '../../location';
import { useIntent } from '../../query';
import { build } from '../../routes';
import { faultsOf, useSubmission } from '../../submission';
import type { OpenApp } from './AppFrame';
import { Needs } from './Needs';
import { idOf } from './person';

export function NewPerson({ app }: { app: OpenApp }) {
  return (
    <Section title="Add a person" about="They get an account in this app. No message is sent to them.">
      <Needs app={app} permission="identity.users.write" to="add people to this app">
        <NewPersonForm app={app} />
      </Needs>
    </Section>
  );
}

function NewPersonForm({ app }: { app: OpenApp }) {
  const [email, setEmail] = useState('');
  const [displayName, setDisplayName] = useState('');
  const [password, setPassword] = useState('');
  const intent = useIntent();
  const people = build('/apps/:app/people', { app: app.id });
  const form = useSubmission({
    fields: ['email', 'password', 'profile.display_name'],
    check: () => faultsOf({ email: email.trim() === '' && 'Enter their e-mail address.' }),
    async send() {
      const ask = { parent: app.app.name, user: { email: email.trim(), profile: { displayName: displayName.trim() } }, password };
      const { user } = await app.identity.users.createUser({ ...ask, requestId: intent(ask) });
      const to = user === undefined ? people : build('/apps/:app/people/:user', { app: app.id, user: idOf(user.name) });
      navigate(to, { replace: true });
    },
  });
  return (
    <Form label="Add a person" onSubmit={form.submit} refusals={form.refusals} failure={form.failure}>
      <TextField
        label="E-mail address"
        type="email"
        name="person-email"
        autoComplete="off"
        autoCapitalize="none"
        spellCheck={false}
        value={email}
        onValue={setEmail}
        fault={form.faults['email']}
      />
      <TextField
        label="Name to show"
        optional
        name="person-name"
        autoComplete="off"
        maxLength={80}
        value={displayName}
        onValue={setDisplayName}
        fault={form.faults['profile.display_name']}
      />
      <PasswordField
        label="First password"
        optional
        name="person-password"
        autoComplete="new-password"
        hint="At least 8 characters. Without one nobody can sign in to the account until it has one."
        value={password}
        onValue={setPassword}
        fault={form.faults['password']}
      />
      <div className="actions">
        <Button type="submit" look="main" pending={form.pending}>
          Add person
        </Button>
        <ButtonLink to={people} look="quiet">
          Cancel
        </ButtonLink>
      </div>
    </Form>
  );
}
