// SPDX-License-Identifier: Apache-2.0
import type { Call } from '../call.js';
import { EXIT } from '../failure.js';

const PATHS: Readonly<Record<string, string>> = {
  network: 'networks',
  sandbox: 'sandboxes',
  endpoint: 'endpoints',
  service: 'services',
};

/** For completion scripts: says nothing where there is nothing to say, the daemon's absence included. */
export async function names({ args, client, out }: Call): Promise<number> {
  const path = PATHS[args[0] ?? ''];
  if (path === undefined) return EXIT.failed;
  try {
    for (const { name } of await client.get<{ name: string }[]>(path)) out.line(name);
    return EXIT.done;
  } catch {
    return EXIT.failed;
  }
}
