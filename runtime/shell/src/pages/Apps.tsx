// The apps of the person who is signed in.

import { type App, AppState } from '@mozaiks/client/identity';
import { AppBadges } from '../components/AppBadges';
import { ButtonLink } from '../components/Button';
import { MoreButton } from '../components/MoreButton';
import { AppPicture } from '../components/Mosaic';
import { Loaded, Page } from '../components/Page';
import { Time } from '../components/Time';
import { useCore } from '../contexts/AuthContext';
import { usePaged } from '../paged';
import { Link } from '../Router';
import { build } from '../routes';

export function Apps() {
  const core = useCore();
  const { list, more } = usePaged<App>('apps', async (pageToken, signal) => {
    const answer = await core.identity.apps.listApps({ pageToken }, signal && { signal });
    return { items: answer.apps, next: answer.nextPageToken };
  });
  const some = list.data !== undefined && list.data.length > 0;

  return (
    <Page
      title="Your apps"
      lead={<p>Apps you own or help to run.</p>}
      actions={some && <ButtonLink to="/apps/new" look="main" icon="plus">New app</ButtonLink>}
    >
      <Loaded query={list} what="your apps" skeleton={<Bones />}>
        {(apps) =>
          apps.length === 0 ? (
            <NoApps />
          ) : (
            <>
              <ul className="tiles">
                {apps.map((app) => (
                  <AppTile key={app.name} app={app} />
                ))}
              </ul>
              <MoreButton more={more} />
            </>
          )
        }
      </Loaded>
    </Page>
  );
}

function AppTile({ app }: { app: App }) {
  const id = app.name.replace('apps/', '');
  return (
    <li className="tile">
      <AppPicture id={id} />
      <div className="tile-text">
        <h2>
          <Link to={build('/apps/:app', { app: id })}>{app.displayName || id}</Link>
        </h2>
        <p className="tile-id">{id}</p>
      </div>
      <p className="tile-about">{app.description}</p>
      <p className="tile-end">
        {app.state === AppState.DELETED ? (
          <span>
            Gone for good <Time at={app.purgeTime} as="from-now" />
          </span>
        ) : (
          <span>
            Created <Time at={app.createTime} as="day" />
          </span>
        )}
        <AppBadges app={app} brief />
      </p>
    </li>
  );
}

function NoApps() {
  return (
    <div className="blank">
      <div className="blank-pictures">
        <AppPicture id="first" />
        <AppPicture id="second" />
        <AppPicture id="third" />
      </div>
      <p className="blank-title">No apps yet</p>
      <p>An app is a home for its own people and its own data. Make one in a minute.</p>
      <div className="actions">
        <ButtonLink to="/apps/new" look="main" icon="plus">
          Create your first app
        </ButtonLink>
      </div>
    </div>
  );
}

function Bones() {
  return (
    <div className="tiles">
      <span className="bone tile" />
      <span className="bone tile" />
      <span className="bone tile" />
    </div>
  );
}
