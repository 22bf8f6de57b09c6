// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest';
import { RCODE, TYPE } from '../../../src/dns/message.js';
import { BACKENDS_TTL, respond, TTL } from '../../../src/dns/responder.js';
import type { Zone } from '../../../src/dns/zone.js';
import { ask, backends, endpoint, namesWith, service, zoneOf } from './support.js';

const box = endpoint({ aliases: ['Db', 'shared'], ipv6: 'fd00:1::2' });
const two = endpoint({ box: 'two', ipv4: '10.64.0.3', aliases: ['shared'] });
const far = endpoint({ box: 'far', network: 'back', ipv4: '10.65.0.9', aliases: ['db'] });

/** Addresses or names; the code where there is an error; null: somebody else is asked. */
function answers(zone: Zone, name: string, type: number = TYPE.A): string[] | number | null {
  const answer = respond(ask(name, type), zone);
  if (answer === null || answer.rcode !== 0) return answer?.rcode ?? null;
  return answer.records.map((record) => (record.type === TYPE.PTR ? record.name : record.address));
}

describe('a sandbox', () => {
  const zone = zoneOf(namesWith(box, two, far));

  test.each(['box', 'BOX', 'web.box', 'db', 'box.web', 'DB.Web', 'web.box.web'])('is called %s', (name) => {
    expect(answers(zone, name)).toEqual(['10.64.0.2']);
  });

  test('has nothing of other types, and is known all the same', () => {
    expect(answers(zone, 'box', TYPE.AAAA)).toEqual(['fd00:1::2']);
    expect(answers(zone, 'two', TYPE.AAAA)).toEqual([]);
    expect(answers(zone, 'box', 15)).toEqual([]);
    expect(answers(zone, 'box', TYPE.ANY)).toEqual(['10.64.0.2', 'fd00:1::2']);
  });

  test.each(['nobody', 'far', 'web.far', 'far.back', 'db.back', 'example.org', 'web', '', 'box.example'])(
    'is not %s',
    (name) => {
      expect(answers(zone, name)).toBeNull();
    },
  );

  test('shares an alias in turns', () => {
    const first = answers(zone, 'shared');
    expect(answers(zone, 'shared')).toEqual([...(first as string[])].reverse());
  });

  test('is found on the first of the networks that has the name', () => {
    const names = namesWith(box, far);
    expect(answers(zoneOf(names, { on: ['web', 'back'] }), 'db')).toEqual(['10.64.0.2']);
    expect(answers(zoneOf(names, { on: ['back', 'web'] }), 'db')).toEqual(['10.65.0.9']);
    expect(answers(zoneOf(names, { on: ['back', 'web'] }), 'db.web')).toEqual(['10.64.0.2']);
  });

  test('is found below a search domain, but nothing that only ends like it', () => {
    const searching = zoneOf(namesWith(box), { search: ['corp.example', 'a.b'] });
    expect(answers(searching, 'box.corp.example')).toEqual(['10.64.0.2']);
    expect(answers(searching, 'box.web.a.b')).toEqual(['10.64.0.2']);
    expect(answers(searching, 'boxcorp.example')).toBeNull();
    expect(answers(searching, 'nobody.corp.example')).toBeNull();
  });

  test('is told for its addresses, and nobody for the others of the network', () => {
    expect(answers(zone, '2.0.64.10.in-addr.arpa', TYPE.PTR)).toEqual(['box.web']);
    expect(answers(zone, `2${'.0'.repeat(23)}.1.0.0.0.0.0.d.f.ip6.arpa`, TYPE.PTR)).toEqual(['box.web']);
    expect(answers(zone, '2.0.64.10.in-addr.arpa', TYPE.A)).toEqual([]);
    expect(answers(zone, '77.0.64.10.in-addr.arpa', TYPE.PTR)).toBe(RCODE.NXDOMAIN);
    expect(answers(zone, '9.0.65.10.in-addr.arpa', TYPE.PTR)).toBeNull();
  });

  test('is gone, or called otherwise, with its endpoint', () => {
    const names = namesWith(box, two);
    const mine = zoneOf(names);
    names.setEndpoint(box.id, null);
    expect(answers(mine, 'box')).toBeNull();
    expect(answers(mine, 'shared')).toEqual(['10.64.0.3']);
    expect(answers(mine, '2.0.64.10.in-addr.arpa', TYPE.PTR)).toBe(RCODE.NXDOMAIN);
    names.setEndpoint(two.id, { ...two, aliases: ['new'] });
    expect(answers(mine, 'shared')).toBeNull();
    expect(answers(mine, 'new')).toEqual(['10.64.0.3']);
  });
});

describe('a service', () => {
  const names = namesWith(box, two, endpoint({ box: 'front', ipv4: '10.64.0.4' }));
  names.setService('service', service({ backends: backends('box', 'two') }));
  const zone = zoneOf(names);

  test('is called by its name before any sandbox, and has its own address', () => {
    for (const name of ['front', 'Front.web']) expect(answers(zone, name)).toEqual(['10.64.0.100']);
    expect(answers(zone, 'front', TYPE.AAAA)).toEqual([]);
    expect(respond(ask('front'), zone)).toMatchObject({ ttl: TTL, authoritative: true });
    expect(answers(zone, '100.0.64.10.in-addr.arpa', TYPE.PTR)).toEqual(['front.web']);
  });

  test('has tasks, beginning with another one each time', () => {
    expect(answers(zone, 'tasks.front')).toEqual(['10.64.0.2', '10.64.0.3']);
    expect(answers(zone, 'TASKS.front.web')).toEqual(['10.64.0.3', '10.64.0.2']);
    expect(answers(zone, 'tasks.front')).toEqual(['10.64.0.2', '10.64.0.3']);
    expect(respond(ask('tasks.front'), zone)?.ttl).toBe(BACKENDS_TTL);
    expect(answers(zone, 'tasks.nobody')).toBeNull();
  });

  test('has only those backends that take new flows', () => {
    const [first, second] = backends('box', 'two');
    for (const idle of [
      { ...second, state: 'draining' },
      { ...second, weight: 0 },
      { ...second, endpoint: null },
      { ...second, endpoint: 'web.gone' },
    ]) {
      names.setService('service', service({ backends: [first, idle] as never }));
      expect(answers(zone, 'tasks.front')).toEqual(['10.64.0.2']);
    }
    names.setService('service', service());
    expect(answers(zone, 'tasks.front')).toEqual([]);
  });

  test('of the other mode has those of its backends', () => {
    names.setService('service', service({ mode: 'dnsrr', vip: null, backends: backends('box') }));
    expect(answers(zone, 'front')).toEqual(['10.64.0.2']);
    expect(respond(ask('front'), zone)?.ttl).toBe(BACKENDS_TTL);
  });

  test('is seen on its network alone, and no more once it is gone', () => {
    names.setService('service', service());
    expect(answers(zoneOf(names, { on: ['back'] }), 'front')).toBeNull();
    names.setService('service', service({ name: 'rear' }));
    expect(answers(zone, 'front')).toEqual(['10.64.0.4']);
    expect(answers(zone, 'rear')).toEqual(['10.64.0.100']);
    names.setService('service', null);
    expect(answers(zone, 'rear')).toBeNull();
    expect(answers(zone, '100.0.64.10.in-addr.arpa', TYPE.PTR)).toBe(RCODE.NXDOMAIN);
  });
});

test("another engine's containers have services of us, and the rest of that engine", () => {
  const names = namesWith(endpoint({ network: 'docker-1' }));
  names.setService('service', service({ network: 'docker-1' }));
  const zone = zoneOf(names, { on: ['docker-1'], remote: true });
  expect(answers(zone, 'front')).toEqual(['10.64.0.100']);
  expect(answers(zone, 'front.shop')).toEqual(['10.64.0.100']);
  expect(answers(zone, '100.0.64.10.in-addr.arpa', TYPE.PTR)).toEqual(['front.Shop']);
  for (const name of ['box', 'box.shop']) expect(answers(zone, name)).toBeNull();
  for (const last of [2, 77]) expect(answers(zone, `${last}.0.64.10.in-addr.arpa`, TYPE.PTR)).toBeNull();
});

test('other classes and versions are refused', () => {
  const zone = zoneOf(namesWith(box));
  const chaos = { ...ask('box'), internet: false };
  expect(respond(chaos, zone)?.rcode).toBe(RCODE.REFUSED);
  const newer = { ...ask('box', 1, 512), edns: { size: 512, version: 1, dnssecOk: false } };
  expect(respond(newer, zone)?.rcode).toBe(RCODE.BADVERS);
});
