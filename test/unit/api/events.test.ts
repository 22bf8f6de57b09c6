// SPDX-License-Identifier: Apache-2.0
import { type IncomingMessage, request } from 'node:http';
import { afterEach, expect, it, vi } from 'vitest';
import { startApi, type TestApi } from './support.js';

let api: TestApi;
afterEach(() => api.close());

/** Connected once the server says that it listens. */
function open(socketPath: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const req = request({ socketPath, path: '/v1/events', agent: false });
    req.on('response', (res) => res.once('data', () => resolve(res)));
    req.on('error', reject);
    req.end();
  });
}

function emit(attributes: Record<string, string> = {}): void {
  api.model.emit({ time: 5, type: 'link', action: 'up', id: '3', name: 'eth0', attributes });
}

it('streams changes to everybody', async () => {
  api = await startApi();
  const streams = await Promise.all([open(api.socket), open(api.socket)]);
  expect(streams[0]?.headers['content-type']).toBe('text/event-stream');
  const texts = streams.map((stream) => {
    const chunks: string[] = [];
    stream.on('data', (chunk) => chunks.push(String(chunk)));
    return chunks;
  });
  await api.call('POST', '/networks', { name: 'net' });
  emit({ note: 'two\nlines' });
  await vi.waitFor(() => {
    for (const text of texts) expect(text.join('')).toContain('eth0');
  });
  for (const text of texts) {
    const blocks = text.join('').trim().split('\n\n');
    const events = blocks.map((block) => JSON.parse(block.replace(/^data: /, '')));
    expect(events).toMatchObject([
      { type: 'network', action: 'create', name: 'net', attributes: { driver: 'bridge' } },
      { type: 'link', action: 'up', name: 'eth0', attributes: { note: 'two\nlines' } },
    ]);
  }
  for (const stream of streams) stream.destroy();
});

it('says now and then that it is there', async () => {
  api = await startApi({ events: { heartbeat: 20, buffer: 1024 } });
  const stream = await open(api.socket);
  const line = await new Promise((resolve) => stream.once('data', (chunk) => resolve(String(chunk))));
  expect(line).toBe(': still here\n\n');
  stream.destroy();
});

it('drops a reader that does not keep up, and no other', async () => {
  api = await startApi({ events: { heartbeat: 60_000, buffer: 64 * 1024 } });
  const slow = await open(api.socket);
  slow.pause();
  const quick = await open(api.socket);
  let read = 0;
  quick.on('data', (chunk) => {
    read += chunk.length;
  });
  const dropped = new Promise((resolve) => slow.on('error', resolve));
  const sent = 2000;
  for (let i = 0; i < sent; i++) {
    emit({ padding: 'x'.repeat(1000) });
    if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await vi.waitFor(() => expect(read).toBeGreaterThan(sent * 1000));
  expect(api.logged.join()).toContain('too slow');
  slow.resume();
  await dropped;
  quick.destroy();
});

it('forgets readers that have left', async () => {
  api = await startApi();
  const unsubscribed = vi.fn();
  const subscribe = api.model.onChange.bind(api.model);
  vi.spyOn(api.model, 'onChange').mockImplementation((listener) => {
    const unsubscribe = subscribe(listener);
    return () => {
      unsubscribe();
      unsubscribed();
    };
  });
  const stream = await open(api.socket);
  stream.destroy();
  await vi.waitFor(() => expect(unsubscribed).toHaveBeenCalledTimes(1));
  emit();
});

it('ends its streams when the API closes', async () => {
  api = await startApi();
  const stream = await open(api.socket);
  const ended = new Promise((resolve) => stream.on('end', resolve));
  stream.resume();
  const started = performance.now();
  await api.listener.close();
  await ended;
  expect(performance.now() - started).toBeLessThan(1000);
});
