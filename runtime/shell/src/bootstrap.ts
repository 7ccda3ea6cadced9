// What the server writes into the document for the shell. Must not hold anything secret.

export interface Bootstrap {
  /** Id of the app this origin belongs to. */
  readonly app: string;
  /** Version of the server, or empty. */
  readonly version: string;
  /** The page came from the admin address, where the pages of operators work. It grants nothing. */
  readonly admin: boolean;
}

const DEFAULTS: Bootstrap = { app: 'platform', version: '', admin: false };

/** Reads the data block `bootstrap`; whatever is missing or malformed in it has its default. */
export function readBootstrap(page: Document): Bootstrap {
  const text = page.getElementById('bootstrap')?.textContent ?? '';
  const data = text === '' ? undefined : parse(text);
  return {
    app: word(data, 'app') ?? DEFAULTS.app,
    version: word(data, 'version') ?? DEFAULTS.version,
    admin: entry(data, 'admin') === true,
  };
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
  const value = entry(data, key);
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function entry(data: unknown, key: string): unknown {
  return typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined;
}
