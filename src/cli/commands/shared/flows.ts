// SPDX-License-Identifier: Apache-2.0
import type { Call } from '../../call.js';
import type { Query } from '../../client.js';

/** The filters of `conntrack` as the API takes them. */
export function flowQuery({ options }: Call): Query {
  return Object.fromEntries(
    ['address', 'port', 'endpoint', 'protocol', 'service'].map((name) => [name, options.text(name)]),
  );
}
