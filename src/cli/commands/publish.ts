// SPDX-License-Identifier: Apache-2.0
import { type Call, given } from '../call.js';
import { formatPort } from '../ports.js';
import { changeEndpoint } from './shared/change.js';

/** Prints the new mappings, which shows the host ports that were left to the daemon. */
export async function publish(call: Call): Promise<undefined> {
  const [endpoint, ...ports] = call.args as [string, ...string[]];
  const published = await changeEndpoint(call, endpoint, 'publish', {
    ports,
    ...given({ allow: [...call.options.list('allow')] }),
  });
  if (!published) return;
  if (call.json) call.out.json(published);
  else for (const port of published.ports.slice(-ports.length)) call.out.line(formatPort(port));
}
