// The installation as a whole, for its operators.

import type { Installation as Known } from '@mozaiks/client/identity';
import { given } from '../../answer';
import { Badge } from '../../components/Badge';
import { CopyButton } from '../../components/CopyButton';
import { Fact, Facts } from '../../components/Facts';
import { Time } from '../../components/Time';
import { useCore } from '../../contexts/AuthContext';
import { useQuery } from '../../query';
import { OperatorFrame } from './OperatorFrame';

export function Installation() {
  const core = useCore();
  const query = useQuery('installation', async (signal) => {
    const { installation } = await core.identity.installation.getInstallation({}, { signal });
    return given(installation, 'installation');
  });
  return (
    <OperatorFrame title="Installation" lead="What runs here, and who may come." query={query}>
      {(facts) => <FactList facts={facts} />}
    </OperatorFrame>
  );
}

function FactList({ facts }: { facts: Known }) {
  return (
    <section className="panel" aria-labelledby="facts">
      <h2 id="facts">Facts</h2>
      <Facts>
        <Fact what="Public address">
          <code>{facts.publicUrl}</code>
          <CopyButton text={facts.publicUrl} what="public address" />
        </Fact>
        <Fact what="Version">{facts.version}</Fact>
        <Fact what="First started">
          <Time at={facts.createTime} as="moment" />
        </Fact>
        <Fact what="Registration">
          {facts.registrationOpen ? <Badge tone="good">Open</Badge> : <Badge tone="warn">Closed</Badge>}
          <span>{facts.registrationOpen ? 'Everybody may make an account.' : 'New people need an invitation.'}</span>
        </Fact>
        <Fact what="Making apps">
          {facts.selfService ? <Badge tone="good">Open</Badge> : <Badge tone="warn">Closed</Badge>}
          <span>{facts.selfService ? 'Everybody with an account may make apps.' : 'Only staff of the platform makes apps.'}</span>
        </Fact>
      </Facts>
    </section>
  );
}
