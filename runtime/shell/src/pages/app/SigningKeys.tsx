// The keys that sign an app's tokens, and making the next one.

import type { SigningKey } from '@mozaiks/client/identity';
import { useState } from 'react';
import { Badge } from '../../components/Badge';
import { Button } from '../../components/Button';
import { Failure } from '../../components/Failure';
import { Icon } from '../../components/Icon';
import { Loaded } from '../../components/Page';
import { Said } from '../../components/Said';
import { Section } from '../../components/Section';
import { RowBones } from '../../components/RowBones';
import { Time } from '../../components/Time';
import { useAction, useQuery } from '../../query';
import type { OpenApp } from './AppFrame';
import { Needs } from './Needs';

export function SigningKeys({ app }: { app: OpenApp }) {
  return (
    <Needs app={app} permission="identity.signing_keys.read" to="see the signing keys of this app">
      <Keys app={app} />
    </Needs>
  );
}

function Keys({ app }: { app: OpenApp }) {
  const keys = useQuery('keys', async (signal) => {
    const { signingKeys } = await app.identity.signingKeys.listSigningKeys({ parent: app.app.name }, { signal });
    return signingKeys;
  });
  return (
    <Loaded query={keys} what="the signing keys" skeleton={<RowBones />}>
      {(list) => {
        const signing = list.findIndex((key) => key.signing);
        return (
          <>
            <Section title="Keys" about="Whoever checks a token of this app fetches these, by the id in the token’s header.">
              <ul className="rows" aria-label="Signing keys">
                {list.map((key, at) => (
                  <KeyRow key={key.kid} signingKey={key} waits={at < signing} />
                ))}
              </ul>
            </Section>
            <Section title="Rotate" about="Replaces the key that signs. Do it now and then, or when somebody may have seen the key.">
              <Needs app={app} permission="identity.signing_keys.rotate" to="rotate the signing keys of this app">
                <Rotation app={app} waiting={signing > 0} onRotated={keys.reload} />
              </Needs>
            </Section>
          </>
        );
      }}
    </Loaded>
  );
}

function KeyRow({ signingKey: key, waits }: { signingKey: SigningKey; waits: boolean }) {
  return (
    <li className="row">
      <Icon name="key" />
      <div className="row-text">
        <p className="row-title">
          <code>{key.kid}</code>
          {key.signing && <Badge tone="good">Signs now</Badge>}
          {waits && <Badge tone="warn">Signs soon</Badge>}
          {!key.signing && !waits && <Badge>Still verifies</Badge>}
        </p>
        <p className="row-more">
          {key.alg}
          {' · '}made <Time at={key.createTime} as="moment" />
          {' · '}
          {waits ? 'signs from' : 'signs since'} <Time at={key.activeFrom} as="moment" />
        </p>
      </div>
    </li>
  );
}

function Rotation({ app, waiting, onRotated }: { app: OpenApp; waiting: boolean; onRotated: () => void }) {
  const [said, setSaid] = useState('');
  const rotate = useAction(async () => {
    setSaid('');
    await app.identity.signingKeys.rotateSigningKey({ parent: app.app.name });
    setSaid('The next key is published. It signs in 5 minutes.');
    onRotated();
  });
  return (
    <>
      <p>
        The next key is published at once and signs 5 minutes later, when everybody who keeps the list has seen it. Tokens signed
        with the present key stay good, so nobody is signed out.
      </p>
      {rotate.failure !== undefined && <Failure failure={rotate.failure} />}
      {waiting ? (
        <p className="row-more">The next key waits for its turn. You can rotate again once it signs.</p>
      ) : (
        <div className="actions">
          <Button icon="key" pending={rotate.pending} onClick={rotate.run}>
            Rotate now
          </Button>
        </div>
      )}
      <Said>{said}</Said>
    </>
  );
}
