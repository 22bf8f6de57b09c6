// SPDX-License-Identifier: Apache-2.0
import type { Status } from '../../api/schemas/status.js';
import type { Call } from '../call.js';
import { ownVersion } from '../version.js';

/** A daemon that cannot be reached is no failure: the own version is the answer. */
export async function version({ client, out, json }: Call): Promise<undefined> {
  const daemon = await client.get<Status>('status').then(
    (status) => status.version,
    () => null,
  );
  if (json) out.json({ client: ownVersion(), daemon });
  else {
    out.line(`sluice  ${ownVersion()}`);
    out.line(`daemon  ${daemon ?? `not reachable at ${client.socket}`}`);
  }
}
