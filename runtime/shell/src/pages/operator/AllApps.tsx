// All apps of the installation, for its operators.

import type { App } from '@mozaiks/client/identity';
import { AppBadges } from '../../components/AppBadges';
import { MoreButton } from '../../components/MoreButton';
import { AppPicture } from '../../components/Mosaic';
import { Time } from '../../components/Time';
import { useCore } from '../../contexts/AuthContext';
import { usePaged } from '../../paged';
import { OperatorFrame } from './OperatorFrame';

const PAGE_SIZE = 50;

export function AllApps() {
  const core = useCore();
  const { list, more } = usePaged<App>('all apps', async (pageToken, signal) => {
    const answer = await core.identity.apps.listAllApps({ pageSize: PAGE_SIZE, pageToken }, signal && { signal });
    return { items: answer.apps, next: answer.nextPageToken };
  });
  return (
    <OperatorFrame title="All apps" lead="Every app of this installation, by its address." query={list}>
      {(apps) =>
        apps.length === 0 ? (
          <div className="blank">
            <p className="blank-title">No apps yet</p>
            <p>Nobody has made an app on this installation.</p>
          </div>
        ) : (
          <>
            <ul className="rows" aria-label="Apps">
              {apps.map((app) => (
                <AppRow key={app.name} app={app} />
              ))}
            </ul>
            <MoreButton more={more} />
          </>
        )
      }
    </OperatorFrame>
  );
}

function AppRow({ app }: { app: App }) {
  const id = app.name.replace('apps/', '');
  return (
    <li className="row">
      <AppPicture id={id} />
      <div className="row-text">
        <p className="row-title">{app.displayName || id}</p>
        <p className="row-more">
          <code>{id}</code> · created <Time at={app.createTime} as="day" />
        </p>
      </div>
      <AppBadges app={app} />
    </li>
  );
}
