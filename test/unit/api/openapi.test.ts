// SPDX-License-Identifier: Apache-2.0
/** Every test of this directory holds each answer to the document; these look at the document itself. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { operationOf, startApi, type TestApi } from './support.js';

let api: TestApi;
beforeAll(async () => {
  api = await startApi();
});
afterAll(() => api.close());

it('lists every route', () => {
  const routes = Object.entries(api.document.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(routes.sort()).toEqual(
    [
      'GET /v1/backup',
      'POST /v1/restore',
      'GET /v1/networks',
      'POST /v1/networks',
      'POST /v1/networks/prune',
      'GET /v1/networks/{id}',
      'DELETE /v1/networks/{id}',
      'GET /v1/sandboxes',
      'POST /v1/sandboxes',
      'GET /v1/sandboxes/{id}',
      'DELETE /v1/sandboxes/{id}',
      'POST /v1/sandboxes/{id}/connect',
      'POST /v1/sandboxes/{id}/disconnect',
      'GET /v1/endpoints',
      'POST /v1/endpoints',
      'GET /v1/endpoints/{id}',
      'DELETE /v1/endpoints/{id}',
      'POST /v1/endpoints/{id}/join',
      'POST /v1/endpoints/{id}/leave',
      'POST /v1/endpoints/{id}/publish',
      'DELETE /v1/endpoints/{id}/publish',
      'GET /v1/services',
      'POST /v1/services',
      'GET /v1/services/{id}',
      'DELETE /v1/services/{id}',
      'POST /v1/services/{id}/backends',
      'PATCH /v1/services/{id}/backends/{endpoint}',
      'DELETE /v1/services/{id}/backends/{endpoint}',
      'GET /v1/docker/orphans',
      'POST /v1/docker/prune',
      'POST /v1/docker/networks/{id}/adopt',
      'GET /v1/conntrack',
      'DELETE /v1/conntrack',
      'GET /v1/conntrack/stats',
      'GET /v1/status',
      'GET /v1/events',
    ].sort(),
  );
});

it('has a summary, and a schema or nothing for each answer', () => {
  for (const [path, item] of Object.entries(api.document.paths)) {
    for (const [method, { summary, responses }] of Object.entries(item)) {
      expect(summary, `${method} ${path}`).toBeTruthy();
      for (const [status, { content }] of Object.entries(responses)) {
        expect(content !== undefined, `${method} ${path} ${status}`).toBe(status !== '204');
      }
    }
  }
});

it('refers to nothing that it lacks', () => {
  const refs = [...JSON.stringify(api.document).matchAll(/"\$ref":"([^"]+)"/g)].map(
    ([, ref]) => ref as string,
  );
  expect(refs.length).toBeGreaterThan(20);
  const known = Object.keys(api.document.components.schemas).map((name) => `#/components/schemas/${name}`);
  expect(refs.filter((ref) => !known.includes(ref))).toEqual([]);
});

it('is what the tests hold answers to', async () => {
  expect(operationOf(api.document, 'POST', '/networks/prune?dryRun=1')?.summary).toContain(
    'without endpoints',
  );
  api.status.report = { ...api.status.report, kernel: 6 as unknown as string };
  await expect(api.call('GET', '/status')).rejects.toThrow('differs from its schema');
});
