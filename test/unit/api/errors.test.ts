// SPDX-License-Identifier: Apache-2.0
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ERRORS, type ErrorCode, SluiceError } from '../../../src/base/errors.js';
import type { Cnm } from '../../../src/cnm/types.js';
import { send, startApi, type TestApi } from './support.js';

let api: TestApi;
let thrown: unknown = null;
beforeEach(async () => {
  const cnm = {
    networks() {
      if (thrown) throw thrown;
      return [];
    },
    createNetwork: async () => ({}),
  } as unknown as Cnm;
  api = await startApi({ cnm });
});
afterEach(async () => {
  thrown = null;
  await api.close();
});

it.each(Object.keys(ERRORS) as ErrorCode[])('answers %s with its status', async (code) => {
  thrown = new SluiceError(code, 'what and why', { field: 'name', hint: 'do this' });
  // Not every status is documented for this route, so that the answer is looked at as it is.
  const { body, status } = await send(api.socket, 'GET', '/networks');
  expect(status).toBe(ERRORS[code].status);
  expect(body).toEqual({ code, message: 'what and why', field: 'name', hint: 'do this' });
  expect(api.logged.length > 0).toBe(status >= 500);
});

it('answers what nobody foresaw as internal, and logs it with its stack', async () => {
  thrown = new TypeError('x is not a function');
  const { body, status } = await api.call('GET', '/networks');
  expect([status, body]).toEqual([500, { code: 'internal', message: 'request: x is not a function' }]);
  expect(api.logged.join()).toContain('errors.test.ts');
});

it.each([
  ['no body', undefined, {}, 400, 'not a JSON object'],
  ['an empty body said to be JSON', '', { 'content-type': 'application/json' }, 400, 'not a JSON object'],
  ['broken JSON', '{"name":', {}, 400, 'not JSON'],
  ['an array', '[]', {}, 400, 'not a JSON object'],
  ['null', 'null', {}, 400, 'not a JSON object'],
  ['a form', 'name=x', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'not said to be JSON'],
  ['text', '{}', { 'content-type': 'text/plain' }, 415, 'not said to be JSON'],
  ['too much', `{"name":"${'x'.repeat(1024 * 1024)}"}`, {}, 413, 'too large'],
  ['a poisoned prototype', '{"__proto__":{"x":1}}', {}, 400, 'not JSON'],
])('refuses %s', async (_what, body, headers, status, words) => {
  const answer = await api.call('POST', '/networks', body, headers);
  expect(answer.status).toBe(status);
  expect(answer.body.code).toBe('invalid_argument');
  expect(answer.body.message).toContain(words);
  expect(answer.body.hint).toBeTruthy();
});

it.each([
  [{}, 'name', "field 'name' is missing"],
  [{ name: 5 }, 'name', "field 'name' is not a string"],
  [{ name: null }, 'name', "field 'name' is not a string"],
  [{ name: 'x', ipv6: 'yes' }, 'ipv6', "field 'ipv6' is not true or false"],
  [{ name: 'x', subnet: '10.0.0.0/8' }, 'subnet', "there is no field 'subnet'"],
  [{ name: 'x', subnets: {} }, 'subnets', "field 'subnets' is not an array"],
  [{ name: 'x', subnets: [{}, { cidr: 1 }] }, 'subnets[1].cidr', "field 'subnets[1].cidr' is not a string"],
  [{ name: 'x', subnets: [{ mask: 1 }] }, 'subnets[0].mask', "there is no field 'subnets[0].mask'"],
  [{ name: 'x', options: { 'a.b/c': 1 } }, 'options.a.b/c', "field 'options.a.b/c' is not a string"],
])('names the field of %j', async (body, field, message) => {
  const answer = await api.call('POST', '/networks', body);
  expect(answer.status).toBe(400);
  expect(answer.body).toMatchObject({ code: 'invalid_argument', field, message });
});

it('says which fields there are', async () => {
  const { body } = await api.call('POST', '/networks', { name: 'x', subnets: [{ mask: 1 }] });
  expect(body.hint).toBe('the fields are cidr, gateway, ipRange');
});

it.each(['/networks?dryrun=true', '/networks?dryRun=perhaps', '/networks?dryRun'])(
  'refuses the query %s',
  async (path) => {
    const answer = await api.call('POST', path, { name: 'x' });
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_argument']);
    expect(answer.body.field).toMatch(/^dryrun$/i);
  },
);

it('answers what has no route', async () => {
  for (const [method, path] of [
    ['GET', '/nix'],
    ['PUT', '/networks'],
    ['PATCH', '/networks/x'],
  ] as const) {
    const answer = await api.call(method, path);
    expect(answer.status).toBe(404);
    expect(answer.body.code).toBe('not_found');
    expect(answer.body.hint).toContain('openapi.json');
  }
  expect((await api.call('GET', '/networks/%zz')).status).toBe(400);
});

it('survives what is not HTTP', async () => {
  const socket = connect(api.socket);
  socket.write('\x00\x01nonsense\r\n\r\n');
  const answer = await new Promise<string>((resolve) => socket.on('data', (data) => resolve(String(data))));
  expect(answer).toContain('400');
  socket.destroy();
  expect((await api.call('GET', '/networks')).status).toBe(200);
});
