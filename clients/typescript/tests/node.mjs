// Starts the real executable on free ports with a state of its own. Must not speak to it.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const START_MS = 30_000;
const STOP_MS = 30_000;

/** Path of the executable: `MOZAIKS_BIN`, else what cargo built last. */
export function executable() {
  const path = process.env['MOZAIKS_BIN'] ?? join(process.env['CARGO_TARGET_DIR'] ?? join(root, 'target'), 'debug', 'mozaiks');
  if (!existsSync(path)) throw new Error(`there is no ${path}; build it with: cargo build -p node --locked`);
  return path;
}

/**
 * The environment without settings of a node: those of the person who runs the tests are not the tests'.
 *
 * @param {string} state
 */
function plainEnvironment(state) {
  const plain = Object.entries(process.env).filter(([name]) => !name.startsWith('MOZAIKS_'));
  // Nobody else calls the node, so there is nobody to wait for when it stops.
  return { ...Object.fromEntries(plain), MOZAIKS_DRAIN_SECONDS: '0', MOZAIKS_TEST_CLOCK_FILE: clockFile(state) };
}

/** @param {string} state */
const clockFile = (state) => join(state, 'test-clock');

/** A running node. */
export class Node {
  /**
   * @param {import('node:child_process').ChildProcess} child
   * @param {string} state
   * @param {string[]} log
   */
  constructor(child, state, log) {
    this.child = child;
    this.state = state;
    this.log = log;
    /** Where the gateway and the shell answer. */
    this.gateway = '';
    this.admin = '';
  }

  static async start(state = mkdtempSync(join(tmpdir(), 'mozaiks-'))) {
    const args = ['serve', '--data-dir', state, '--listen', '127.0.0.1:0', '--admin-listen', '127.0.0.1:0'];
    const child = spawn(executable(), args, { stdio: ['ignore', 'pipe', 'pipe'], env: plainEnvironment(state) });
    /** @type {string[]} */
    const log = [];
    child.stderr.setEncoding('utf8').on('data', (text) => log.push(text));
    const node = new Node(child, state, log);
    const first = await node.#firstLine(child);
    ({ gateway: node.gateway, admin: node.admin } = JSON.parse(first));
    return node;
  }

  /**
   * @param {import('node:child_process').ChildProcessByStdio<null, import('node:stream').Readable, import('node:stream').Readable>} child
   * @returns {Promise<string>}
   */
  async #firstLine(child) {
    const lines = createInterface(child.stdout);
    const late = AbortSignal.timeout(START_MS);
    const ended = once(child, 'exit', { signal: late }).then(([code]) => {
      throw new Error(`the node ended with ${code} before it was ready\n${this.log.join('')}`);
    });
    const [line] = await Promise.race([once(lines, 'line', { signal: late }), ended]);
    ended.catch(() => undefined);
    // What follows is for people; it is read so that the pipe does not fill.
    lines.on('line', () => undefined);
    return line;
  }

  /** Asks for an invitation as the operator at the machine does; answers the link that is printed. */
  async invite() {
    const args = ['operator', 'invite', '--data-dir', this.state];
    const { stdout } = await promisify(execFile)(executable(), args, { env: plainEnvironment(this.state) });
    return stdout.trim();
  }

  /**
   * Moves the node's clock to so many seconds after the machine's.
   *
   * @param {number} seconds
   */
  setClock(seconds) {
    writeFileSync(clockFile(this.state), String(seconds));
  }

  /** Stops the process and keeps what it stored. */
  async halt() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGTERM');
      await once(this.child, 'exit', { signal: AbortSignal.timeout(STOP_MS) });
    }
  }

  /** Stops the process and removes what it stored. */
  async stop() {
    await this.halt();
    rmSync(this.state, { recursive: true, force: true });
  }
}
