// SPDX-License-Identifier: Apache-2.0
/** No network: a sandbox on it has its loopback interface and is on no other. */
import { SluiceError } from '../../base/errors.js';
import { bareDriver } from './bare.js';
import type { Driver } from './driver.js';

export const nullDriver: Driver = {
  ...bareDriver('null', {
    ports: 'nothing reaches a sandbox on it',
    hint: 'use a bridge network to publish ports',
  }),
  validateJoin(network, sandbox) {
    if (!sandbox.host) return;
    throw new SluiceError(
      'invalid_argument',
      `sandbox '${sandbox.name}' is the host's own namespace, which null network '${network.name}' cannot isolate`,
      { field: 'sandbox', hint: 'make a sandbox with a namespace of its own' },
    );
  },
};
