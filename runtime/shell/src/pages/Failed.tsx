// The page shown when another page broke: what is known about the fault, and a way to start again.

import { MozaiksError } from '@mozaiks/client';
import { CallId } from '../components/Failure';

export function Failed({ cause }: { cause: unknown }) {
  return (
    <main className="page alone">
      <title>Something broke · Mozaiks</title>
      <h1 tabIndex={-1}>This page broke</h1>
      <p className="lead">Your data is safe on the server. Load the page again; if that does not help, tell whoever runs this site.</p>
      <div className="actions">
        <button type="button" className="button main" onClick={() => location.reload()}>
          Load again
        </button>
        <a className="button plain" href="/">
          Go to your apps
        </a>
      </div>
      {cause instanceof MozaiksError ? <CallId failure={cause} /> : <p className="call-id">{String(cause)}</p>}
    </main>
  );
}
