// SPDX-License-Identifier: Apache-2.0
/**
 * The host's own network. A sandbox on it is the host's namespace itself, as a
 * container of Docker's host network; a sandbox with a namespace of its own
 * cannot become that, so only an adopted one can join. The endpoint records
 * that the sandbox is there; nothing in the kernel changes.
 */
import { SluiceError } from '../../base/errors.js';
import { bareDriver } from './bare.js';
import type { Driver } from './driver.js';

export const hostDriver: Driver = {
  ...bareDriver('host', {
    ports: "its servers listen on the host's own ports",
    hint: 'leave the port mapping out: what listens there is reachable already',
  }),
  validateJoin(network, sandbox) {
    if (sandbox.host) return;
    throw new SluiceError(
      'invalid_argument',
      `sandbox '${sandbox.name}' has a namespace of its own, host network '${network.name}' is that of the host`,
      { field: 'sandbox', hint: "adopt the host's: sluice sandbox create NAME --netns /proc/1/ns/net" },
    );
  },
};
