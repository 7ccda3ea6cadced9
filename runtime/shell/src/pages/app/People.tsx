// The people of an app, newest first.

import { type User, UserState } from '@mozaiks/client/identity';
import { ButtonLink } from '../../components/Button';
import { Icon } from '../../components/Icon';
import { MoreButton } from '../../components/MoreButton';
import { Loaded } from '../../components/Page';
import { RowBones } from '../../components/RowBones';
import { Time } from '../../components/Time';
import { UserBadge } from '../../components/UserBadge';
import { usePaged } from '../../paged';
import { Link } from '../../Router';
import { build } from '../../routes';
import type { OpenApp } from './AppFrame';
import { Needs } from './Needs';
import { idOf, personName } from './person';

const PAGE_SIZE = 25;

export function People({ app }: { app: OpenApp }) {
  return (
    <Needs app={app} permission="identity.users.read" to="see the people of this app">
      <PeopleList app={app} />
    </Needs>
  );
}

function PeopleList({ app }: { app: OpenApp }) {
  const { list, more } = usePaged<User>('people', async (pageToken, signal) => {
    const ask = { parent: app.app.name, pageSize: PAGE_SIZE, pageToken };
    const answer = await app.identity.users.listUsers(ask, signal && { signal });
    return { items: answer.users, next: answer.nextPageToken };
  });
  const newPerson = build('/apps/:app/people/new', { app: app.id });
  return (
    <Loaded query={list} what="the people of this app" skeleton={<RowBones />}>
      {(people) =>
        people.length === 0 ? (
          <div className="blank">
            <p className="blank-title">Nobody is here yet</p>
            <p>People come by registering in this app, or are added by its staff.</p>
            {app.may('identity.users.write') && (
              <div className="actions">
                <ButtonLink to={newPerson} look="main" icon="plus">
                  Add the first person
                </ButtonLink>
              </div>
            )}
          </div>
        ) : (
          <>
            {app.may('identity.users.write') && (
              <div className="actions end">
                <ButtonLink to={newPerson} look="main" icon="plus">
                  Add a person
                </ButtonLink>
              </div>
            )}
            <ul className="rows" aria-label="People">
              {people.map((user) => (
                <PersonRow key={user.name} app={app} user={user} />
              ))}
            </ul>
            <MoreButton more={more} />
          </>
        )
      }
    </Loaded>
  );
}

function PersonRow({ app, user }: { app: OpenApp; user: User }) {
  const name = personName(user);
  return (
    <li className="row leads">
      <Icon name="person" />
      <div className="row-text">
        <p className="row-title">
          <Link to={build('/apps/:app/people/:user', { app: app.id, user: idOf(user.name) })}>{name}</Link>
          {user.state !== UserState.ACTIVE && <UserBadge user={user} />}
        </p>
        <p className="row-more">
          {name !== user.email && `${user.email} · `}
          joined <Time at={user.createTime} as="day" />
        </p>
      </div>
      <Icon name="arrow" />
    </li>
  );
}
