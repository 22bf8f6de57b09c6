// SPDX-License-Identifier: Apache-2.0
/** Questions, and a network with names on it. */

import type { NamedEndpoint, NamedSandbox } from '../../../src/cnm/naming.js';
import type { Service } from '../../../src/cnm/types.js';
import { encodeName, parseQuery, type Query, TYPE } from '../../../src/dns/message.js';
import { Names } from '../../../src/dns/names.js';
import { Zone } from '../../../src/dns/zone.js';

export function question(name: string, type: number = TYPE.A, edns?: number): Buffer {
  const header = Buffer.from([0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, edns === undefined ? 0 : 1]);
  const kind = Buffer.from([type >> 8, type & 0xff, 0, 1]);
  const opt = Buffer.from([0, 0, TYPE.OPT, (edns ?? 0) >> 8, (edns ?? 0) & 0xff, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, encodeName(name), kind, ...(edns === undefined ? [] : [opt])]);
}

export function ask(name: string, type: number = TYPE.A, edns?: number): Query {
  return parseQuery(question(name, type, edns));
}

export function endpoint(over: Partial<NamedEndpoint> & { box?: string } = {}): NamedEndpoint {
  const { box = 'box', ...rest } = over;
  const network = rest.network ?? 'web';
  return {
    id: `${network}.${box}`,
    name: `${network}.${box}`,
    network,
    sandbox: { id: box, name: box },
    ipv4: '10.64.0.2',
    ipv6: null,
    aliases: [],
    ...rest,
  };
}

export function service(over: Partial<Service> = {}): Service {
  return {
    id: 'service',
    name: 'front',
    network: 'web',
    mode: 'vip',
    vip: '10.64.0.100',
    vip6: null,
    ports: [],
    algorithm: 'random',
    affinity: null,
    idleTimeout: null,
    publish: [],
    allow: [],
    selector: {},
    health: null,
    declaredBy: null,
    backends: [],
    created: '',
    ...over,
  };
}

/** Backends by the names of their sandboxes. */
export function backends(...boxes: string[]): Service['backends'] {
  return boxes.map((box) => ({
    endpoint: `web.${box}`,
    container: null,
    weight: 1,
    state: 'active',
    healthy: null,
  }));
}

export function zoneOf(
  names: Names,
  over: Partial<NamedSandbox> & { on?: string[]; search?: string[] } = {},
): Zone {
  const { on = ['web'], search = [], ...rest } = over;
  return new Zone({
    names,
    search: () => search,
    nickname: ({ id }) => (id === 'docker-1' ? 'Shop' : null),
    sandbox: {
      id: 'asker',
      netns: '/run/netns/asker',
      host: false,
      remote: false,
      dns: [],
      dnsSearch: [],
      networks: on.map((name) => ({ id: name, name, subnets: ['10.64.0.0/24', 'fd00:1::/64'] })),
      leadsOut: true,
      ...rest,
    },
  });
}

export function namesWith(...endpoints: NamedEndpoint[]): Names {
  const names = new Names();
  for (const one of endpoints) names.setEndpoint(one.id, one);
  return names;
}
