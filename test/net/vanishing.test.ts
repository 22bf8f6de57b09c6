// SPDX-License-Identifier: Apache-2.0
/** What goes while somebody looks at it, or was taken away by somebody else: no 500, and one clear line. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must, run } from '../support/process.js';
import { Testbed } from '../support/testbed.js';

let bed: Testbed;
beforeAll(async () => {
  bed = await Testbed.start();
  bed.ok('network', 'create', 'web');
  bed.ok('network', 'create', 'lan');
});
afterAll(() => bed.stop());

interface Answer {
  status: number;
  body: { code?: string; message?: string };
}

async function api(method: string, path: string, body?: object): Promise<Answer> {
  const r = bed.background(bed.host, [
    ...['curl', '-s', '-m', '30', '-w', '\n%{http_code}', '--unix-socket', bed.socket, '-X', method],
    ...(body === undefined ? [] : ['-H', 'content-type: application/json', '-d', JSON.stringify(body)]),
    `http://x/v1/${path}`,
  ]);
  await r.end();
  const lines = r.out.split('\n');
  const text = lines.slice(0, -1).join('\n');
  return { status: Number(lines.at(-1)), body: text === '' ? {} : JSON.parse(text) };
}

describe.each([
  ['that the daemon made', (name: string) => bed.ok('sandbox', 'create', name)],
  [
    'that was adopted',
    (name: string) => {
      must(null, ['ip', 'netns', 'add', name]);
      bed.ok('sandbox', 'create', name, '--netns', `/run/netns/${name}`);
    },
  ],
])('a sandbox whose namespace is gone, %s', (kind, create) => {
  it('is refused with its reason, and can be removed', async () => {
    const name = bed.box(kind.includes('made') ? 'made' : 'adopted');
    create(name);
    bed.ok('connect', 'web', name);
    bed.ok('endpoint', 'create', `e-${name}`, '--network', 'lan');
    must(null, ['ip', 'netns', 'del', name]);
    try {
      for (const [path, body] of [
        [`sandboxes/${name}/connect`, { network: 'lan' }],
        [`endpoints/e-${name}/join`, { sandbox: name }],
        [`endpoints/web.${name}/publish`, { ports: ['8080:80'] }],
      ] as const) {
        const { status, body: answer } = await api('POST', path, body);
        // The daemon may have made its own anew by then.
        if (status < 300) continue;
        expect(answer.message, path).toMatch(new RegExp(`/run/netns/${name}.* is gone`));
        expect(status, path).toBe(409);
      }
      expect((await api('POST', `sandboxes/${name}/disconnect`, { network: 'web' })).status).toBe(204);
      await api('POST', `endpoints/e-${name}/leave`);
      await api('POST', `sandboxes/${name}/disconnect`, { network: 'lan' });
      expect((await api('DELETE', `sandboxes/${name}`)).status).toBe(204);
    } finally {
      run(null, ['ip', 'netns', 'del', name]);
    }
  });
});

it('answers status and lists while networks and sandboxes come and go', { timeout: 120_000 }, async () => {
  let going = true;
  const bad: string[] = [];
  const note = (what: string, { status, body }: Answer): void => {
    if (status >= 500) bad.push(`${what}: ${status} ${body.message}`);
  };
  const churn = async (n: number): Promise<void> => {
    for (let i = 0; i < 8; i++) {
      note('create', await api('POST', 'networks', { name: `c${n}-${i}` }));
      note('remove', await api('DELETE', `networks/c${n}-${i}`));
    }
  };
  const look = async (): Promise<number> => {
    let looks = 0;
    for (; going; looks++) {
      for (const path of ['status', 'endpoints', 'networks', 'services']) note(path, await api('GET', path));
    }
    return looks;
  };
  const looking = [look(), look(), look(), look()];
  await Promise.all([churn(0), churn(1), churn(2), churn(3)]);
  going = false;
  const looks = (await Promise.all(looking)).reduce((a, b) => a + b);
  expect(bad).toEqual([]);
  expect(looks).toBeGreaterThan(10);
});
