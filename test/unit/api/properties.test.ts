// SPDX-License-Identifier: Apache-2.0
/**
 * Whatever is asked of the API: requests drawn from its own document, one after
 * the other, so that later ones meet what earlier ones made. Each answer is held
 * to the document, and none is the daemon's own failure.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { DockerSource } from '../../../src/api/sources.js';
import { SluiceError } from '../../../src/base/errors.js';
import { type Operation, startApi } from './support.js';

interface JsonSchema {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly JsonSchema[];
  readonly items?: JsonSchema;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | JsonSchema;
}
interface Parameter {
  readonly in: 'path' | 'query';
  readonly name: string;
  readonly schema: JsonSchema;
}
interface Described extends Operation {
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> };
}

/** What makes sense somewhere, so that requests get past the first check; and what makes none. */
const WORDS = {
  name: ['red', 'blue', 'box', 'red.box', 'web'],
  noName: ['lo', '..', 'a/b', '', 'x'.repeat(80), 'é', '%'],
  driver: ['bridge', 'bridge', 'bridge', 'host', 'null', 'macvlan', 'overlay'],
  cidr: ['10.9.0.0/24', '10.9.0.0/16', '10.64.0.0/31', 'fd00:9::/64', '0.0.0.0/0', '10.9.0.1', '::/129'],
  address: ['10.9.0.1', '10.9.0.9', '10.64.0.2', 'fd00:9::9', '127.0.0.1', '256.1.1.1', '::ffff:1.2.3.4'],
  mac: ['02:00:00:00:00:07', 'ff:ff:ff:ff:ff:ff', '02-00'],
  ports: [
    '80',
    '8080:80',
    '8080-8090:80-90/udp',
    '[::1]:53:53/udp',
    '7:8/sctp',
    '0:0',
    '70000:1',
    ':',
    '1-0',
  ],
  option: ['mtu', 'icc', 'masquerade', 'host-access', 'max-flows', 'parent', '__proto__', 'constructor'],
  value: ['true', 'false', '1500', '-1', '1e9', 'NaN', 'eth0', ''],
  path: ['/run/netns/foreign', '/proc/1/ns/net', 'relative', '/\0'],
} as const;

const odd = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.constantFrom('__proto__', 'toString', '\u0000', ' ', '\ud800'),
);
const word = (...from: readonly (readonly string[])[]) => fc.constantFrom(...from.flat());

/** Text that fits where it is asked for, mostly. */
function text(name: string): fc.Arbitrary<string> {
  const fitting: Readonly<Record<string, fc.Arbitrary<string>>> = {
    driver: word(WORDS.driver),
    cidr: word(WORDS.cidr),
    ipRange: word(WORDS.cidr),
    allow: word(WORDS.cidr, WORDS.address),
    gateway: word(WORDS.address),
    ipv4: word(WORDS.address),
    ipv6: word(WORDS.address),
    address: word(WORDS.address),
    dns: word(WORDS.address),
    mac: word(WORDS.mac),
    ports: word(WORDS.ports),
    publish: word(WORDS.ports),
    vip: word(WORDS.address),
    vip6: word(WORDS.address),
    netns: word(WORDS.path),
  };
  return fc.oneof(
    { weight: 18, arbitrary: fitting[name] ?? word(WORDS.name) },
    { weight: 1, arbitrary: word(WORDS.noName) },
    { weight: 1, arbitrary: odd },
  );
}

/** What the schema allows. */
function fitting(schema: JsonSchema, name: string): fc.Arbitrary<unknown> {
  if (schema.enum) return fc.constantFrom(...schema.enum);
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one) => fitting(one, name)));
  switch (schema.type) {
    case 'string':
      return text(name);
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'number':
      return fc.double({ min: -1, max: 100, noNaN: true });
    case 'integer':
      return fc.integer({ min: -1, max: 70_000 });
    case 'array':
      return fc.array(fitting(schema.items ?? {}, name), { maxLength: 3 });
    case 'object': {
      if (!schema.properties)
        return fc.dictionary(fc.oneof(word(WORDS.option), odd), word(WORDS.value), { maxKeys: 3 });
      const members = Object.entries(schema.properties).map(([key, of]) => {
        const given = value(of, key);
        // few of those that may be absent, so that what is given has a chance to fit together
        return [key, schema.required?.includes(key) ? given : fc.option(given, { freq: 1, nil: undefined })];
      });
      return fc.record(Object.fromEntries(members) as Record<string, fc.Arbitrary<unknown>>);
    }
    default:
      throw new Error(`no values for ${JSON.stringify(schema)}`);
  }
}

/** One in forty is what the schema does not allow. */
function value(schema: JsonSchema, name: string): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 39, arbitrary: fitting(schema, name) },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
  );
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body: unknown;
}

function callOf(template: string, method: string, { parameters = [], requestBody }: Described) {
  const schema = requestBody?.content['application/json']?.schema;
  const query = parameters.filter((p) => p.in === 'query');
  return fc
    .record({
      id: text('name'),
      endpoint: text('name'),
      query: fc.record(
        Object.fromEntries(
          query.map((p) => [p.name, fc.option(value(p.schema, p.name), { freq: 1, nil: undefined })]),
        ),
      ),
      body: schema ? value(schema, '') : fc.constant(undefined),
    })
    .map(({ id, endpoint, query, body }): Call => {
      const asked = Object.entries(query).filter(([, v]) => v !== undefined);
      const search = asked.map(([key, v]) => `${key}=${escaped(String(v))}`).join('&');
      const path = template
        .replace(/^\/v1/, '')
        .replace('{id}', escaped(id))
        .replace('{endpoint}', escaped(endpoint));
      return { method: method.toUpperCase(), path: search === '' ? path : `${path}?${search}`, body };
    });
}

/** Also half a surrogate pair, for which encodeURIComponent throws. */
const escaped = (s: string): string => encodeURIComponent(Buffer.from(s).toString());

/** An Engine that has nothing. */
const EMPTY_ENGINE: DockerSource = {
  status: () => ({
    url: 'unix:///run/docker.sock',
    connected: true,
    seconds: 0,
    version: '20.10.24',
    api: '1.41',
    error: null,
    containers: 0,
    running: 0,
    services: 0,
    problems: [],
  }),
  containers: { ofEndpoint: () => null },
  networks: { of: () => null },
  orphans: async () => [],
  prune: async () => ({ removed: [], failed: [] }),
  adoption: async (network) => {
    throw new SluiceError('not_found', `Docker has no network '${network}'`);
  },
};

it('answers any sequence of requests as its document says, and none with a failure of its own', {
  timeout: 60_000,
}, async () => {
  const described = await startApi();
  const { document } = described;
  await described.close();
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item)
      .filter(() => path !== '/v1/events') // never ends
      .map(([method, operation]) => ({
        // else there would be little to find
        weight: method === 'post' && !path.includes('prune') ? 3 : 1,
        arbitrary: callOf(path, method, operation as Described),
      })),
  );
  expect(operations).toHaveLength(35);
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(fc.array(fc.oneof(...operations), { minLength: 30, maxLength: 80 }), async (calls) => {
      const api = await startApi({ docker: EMPTY_ENGINE });
      api.host.namespaces.set('/run/netns/foreign', []);
      try {
        for (const { method, path, body } of calls) {
          const { status, body: answer } = await api.call(method, path, body);
          // a pool with nothing left is no failure
          if (status >= 500 && status !== 507) expect.fail(`${method} ${path}: ${status} ${answer?.message}`);
          statuses.set(status, (statuses.get(status) ?? 0) + 1);
        }
        expect(api.logged).toEqual([]);
      } finally {
        await api.close();
      }
    }),
    { numRuns: 40 },
  );
  // it got through the door as well
  for (const status of [200, 201, 204, 400, 404, 409])
    expect(statuses.get(status) ?? 0, String(status)).toBeGreaterThan(0);
});
