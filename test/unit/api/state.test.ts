// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startApi, type TestApi } from './support.js';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

const lines = { 'content-type': 'application/x-ndjson' };

it('gives the backup as it is, and tells that it was read', async () => {
  const { status, headers, text } = await api.call('GET', '/backup');
  expect([status, headers['content-type'], text]).toEqual([200, 'application/x-ndjson', api.state.text]);
  expect(api.state.done).toBe(1);
});

it('starts anew after it has answered', async () => {
  const { status, body } = await api.call('POST', '/restore', api.state.text, lines);
  expect(status).toBe(202);
  expect(body).toEqual(api.state.restored);
  await expect.poll(() => api.state.restarts).toBe(1);
});

it('only looks in a dry run', async () => {
  const before = api.state.restarts;
  const { status, body } = await api.call('POST', '/restore?dryRun=true', api.state.text, lines);
  expect([status, body.dryRun]).toEqual([200, true]);
  expect(api.state.restarts).toBe(before);
});

it.each<[string, string | undefined, Record<string, string>]>([
  ['a file that is cut', '{"a"', lines],
  ['nothing', '', lines],
  ['no body', undefined, {}],
  ['JSON', '{}', { 'content-type': 'application/json' }],
])('refuses %s', async (_, text, headers) => {
  const { status, body } = await api.call('POST', '/restore', text, headers);
  expect([status, body.code]).toEqual([400, 'invalid_argument']);
});
