// SPDX-License-Identifier: Apache-2.0
/** Networks and endpoints of ours that Docker made, as its driver calls make them. */
import type { CnmModel } from '../../../src/cnm/model.js';
import { id } from './fake-engine.js';

/** Called `docker-…`, with the id that a fake Engine's network of this name has. */
export async function dockerNetwork(model: CnmModel, name: string, cidr: string): Promise<void> {
  const subnets = [{ cidr }];
  await model.remote.createNetwork({
    id: id(name),
    driver: 'bridge',
    subnets,
    internal: false,
    options: {},
  });
}

export async function dockerEndpoint(
  model: CnmModel,
  name: string,
  network: string,
  ipv4: string,
): Promise<void> {
  const request = { id: id(name), network: id(network), ipv4, ipv6: null, mac: null, ports: [] };
  await model.remote.createEndpoint(request);
}

/** The name that it has here. */
export const ours = (name: string): string => `docker-${id(name).slice(0, 12)}`;
