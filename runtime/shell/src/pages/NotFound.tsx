// The page for a path that leads nowhere, with what was perhaps meant.

import { ButtonLink } from '../components/Button';
import { Page } from '../components/Page';
import { useRuntime } from '../contexts/RuntimeContext';
import { Link, type PageRoute } from '../Router';
import { near } from '../routes';

export function NotFound({ path, routes }: { path: string; routes: readonly PageRoute[] }) {
  const { admin } = useRuntime();
  const meant = near(routes, path).filter(({ pattern }) => admin || !pattern.startsWith('/operator'));
  return (
    <Page
      title="Page not found"
      lead={
        <p>
          There is nothing at <code className="path">{path}</code>.
        </p>
      }
    >
      {meant.length > 0 && (
        <section className="section" aria-labelledby="meant">
          <h2 id="meant">Did you mean</h2>
          <ul className="links">
            {meant.map(({ pattern, title }) => (
              <li key={pattern}>
                <Link to={pattern}>{title}</Link> <code>{pattern}</code>
              </li>
            ))}
          </ul>
        </section>
      )}
      <div className="actions">
        <ButtonLink to="/" look="main">
          Go to your apps
        </ButtonLink>
      </div>
    </Page>
  );
}
