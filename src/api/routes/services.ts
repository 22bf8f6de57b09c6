// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import type { Api } from '../server.js';

/** The place is taken: clients learn that services are a matter of the version. */
export function serviceRoutes(api: Api): void {
  const refuse = async (): Promise<never> => {
    throw new SluiceError('unsupported', 'this version has no services yet', {
      hint: 'publish a port of an endpoint instead: sluice publish ENDPOINT PORTSPEC',
    });
  };
  for (const url of ['/services', '/services/*']) {
    api.route({
      method: ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
      url,
      schema: { hide: true },
      handler: refuse,
    });
  }
}
