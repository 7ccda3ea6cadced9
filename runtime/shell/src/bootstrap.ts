// What the server writes into the document for the shell. Must not hold anything secret.

export interface Bootstrap {
  /** Id of the app this origin belongs to. */
  readonly app: string;
  /** Version of the server, or empty. */
  readonly version: string;
}

const DEFAULTS: Bootstrap = { app: 'platform', version: '' };

/** Reads the data block `bootstrap`; whatever is missing or malformed in it has its default. */
export function readBootstrap(page: Document): Bootstrap {
  const text = page.getElementById('bootstrap')?.textContent ?? '';
  const data = text === '' ? undefined : parse(text);
  return { app: word(data, 'app') ?? DEFAULTS.app, version: word(data, 'version') ?? DEFAULTS.version };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    console.error('the data block "bootstrap" is not JSON', cause);
    return undefined;
  }
}

function word(data: unknown, key: string): string | undefined {
  if (typeof data !== 'object' || data === null) return undefined;
  const value: unknown = Reflect.get(data, key);
  return typeof value === 'string' && value !== '' ? value : undefined;
}
