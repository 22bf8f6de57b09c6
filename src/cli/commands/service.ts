// SPDX-License-Identifier: Apache-2.0
import type { Call } from '../call.js';

/** The daemon knows what its version has of services, and says so. */
export async function service({ client, out }: Call): Promise<undefined> {
  out.json(await client.post('services'));
}
