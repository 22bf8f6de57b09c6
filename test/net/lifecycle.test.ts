// SPDX-License-Identifier: Apache-2.0
/** The daemon stops, dies, comes back; and cleanup leaves nothing. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { addedSince, bpfObjects } from '../support/bpf-objects.js';
import { must, run, sleep } from '../support/process.js';
import { EXT1, HOST, Testbed } from '../support/testbed.js';

const SERVERS = join(import.meta.dirname, '../support/servers.py');
let bed: Testbed | undefined;

afterEach(async () => {
  await bed?.stop();
  bed = undefined;
});

async function withPublishedBox(): Promise<{ bed: Testbed; box: { ns: string; ip: string } }> {
  const started = await Testbed.start();
  bed = started;
  started.ok('network', 'create', 'web');
  const box = started.container('box', 'web', '-p', '8080:80', '-p', '8081:81');
  await started.web(box.ns, 80);
  return { bed: started, box };
}

describe('kill -9', () => {
  it('stops neither a transfer through a published port nor a masqueraded one, nor new connections', async () => {
    const { bed: b, box } = await withPublishedBox();
    const inside = b.background(box.ns, ['/usr/bin/python3', SERVERS, 'stream', '81']);
    const outside = b.background(b.ext1, ['/usr/bin/python3', SERVERS, 'stream', '9100']);
    await inside.says(/ready/);
    await outside.says(/ready/);
    const published = b.background(b.ext1, ['/usr/bin/python3', SERVERS, 'follow', HOST, '8081', '8']);
    const masqueraded = b.background(box.ns, ['/usr/bin/python3', SERVERS, 'follow', EXT1, '9100', '8']);
    await published.says(/ready/);
    await masqueraded.says(/ready/);
    await sleep(1500);

    await b.killDaemon('SIGKILL');
    await sleep(1000);
    expect(b.curl(b.ext2, `http://${HOST}:8080/`).out).toBe('192.168.77.3');
    expect(run(box.ns, ['ping', '-c', '1', '-W', '10', EXT1]).code).toBe(0);
    await b.startDaemon();
    expect(b.curl(b.ext2, `http://${HOST}:8080/`).out).toBe('192.168.77.3');

    for (const transfer of [published, masqueraded]) {
      await transfer.end();
      const [, lines, pause] = /(\d+) lines, longest pause (\d+) ms/.exec(transfer.out) ?? [];
      expect(Number(lines)).toBeGreaterThan(300);
      expect(Number(pause)).toBeLessThan(2000);
    }
  });
});

describe('a restart', () => {
  it('adopts what is there, and touches no link, veth or flow', async () => {
    const { bed: b, box } = await withPublishedBox();
    expect(b.curl(b.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    const endpoints = b.ok('endpoint', 'ls', '-o', 'json');
    const before = must(b.host, ['ip', '-j', 'link']);
    const pinned = readdirSync(join(b.bpffs, 'links')).sort();
    const flows = b.list<unknown[]>('conntrack', 'ls').length;
    // by the kernel's own ids, so that "the same" means untouched
    const { link: links } = await bpfObjects(b);
    expect(links.size).toBeGreaterThanOrEqual(pinned.length);
    await b.killDaemon('SIGTERM');
    expect(b.cli('status').code).toBe(3);
    await b.startDaemon();
    expect(b.ok('endpoint', 'ls', '-o', 'json')).toBe(endpoints);
    expect(must(b.host, ['ip', '-j', 'link'])).toBe(before);
    expect(readdirSync(join(b.bpffs, 'links')).sort()).toEqual(pinned);
    expect((await bpfObjects(b)).link).toEqual(links);
    expect(b.list<unknown[]>('conntrack', 'ls').length).toBeGreaterThanOrEqual(flows);
    expect(b.list<{ problems: unknown[] }>('status').problems).toEqual([]);
    expect(b.curl(b.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    expect(box.ip).toMatch(/^10\.64\./);
  });

  it('restores everything where the kernel has nothing any more', async () => {
    const { bed: b, box } = await withPublishedBox();
    await b.killDaemon('SIGKILL');
    must(b.host, b.daemonCommand('cleanup'));
    expect(b.curl(b.ext1, `http://${HOST}:8080/`, '-m', '1').code).not.toBe(0);
    await b.startDaemon();
    await b.web(box.ns, 80);
    expect(b.curl(b.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
  });

  it('repairs what was taken away meanwhile', async () => {
    const { bed: b, box } = await withPublishedBox();
    await b.killDaemon('SIGKILL');
    const [endpoint] = readdirSync(join(b.bpffs, 'links')).filter((n) => n.includes('endpoint'));
    must(null, ['rm', join(b.bpffs, 'links', endpoint as string)]);
    must(b.host, ['ip', 'neigh', 'flush', 'nud', 'permanent']);
    await b.startDaemon();
    expect(b.curl(b.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    expect(b.curl(b.host, `http://${box.ip}/`).out).not.toBe('');
  });
});

describe('cleanup', () => {
  it('refuses while the daemon runs', async () => {
    const { bed: b } = await withPublishedBox();
    const refused = run(b.host, b.daemonCommand('cleanup'));
    expect(refused.code).toBe(1);
    expect(refused.err.trim().split('\n')).toHaveLength(1);
  });

  it('leaves no link, program, map, pin, namespace or file, and no setting changed', async () => {
    const start = await Testbed.start({ daemon: false });
    bed = start;
    const settings = () =>
      must(start.host, ['sysctl', '-a', '--pattern', '^net\\.'])
        .split('\n')
        .filter(
          (line) =>
            !/netns|nf_conntrack_count|slb|slf|slv|neigh|\.base_|ipfrag_secret|dev_weight|random/.test(line),
        );
    const key = (line: string) => line.split(' = ')[0] as string;
    const keys = new Set(settings().map(key));
    // Somebody else on this machine may load a kernel module meanwhile, which has settings of its own.
    const sysctls = () => settings().filter((line) => keys.has(key(line)));
    const before = {
      bpf: await bpfObjects(start),
      devices: must(start.host, ['ip', '-br', 'link']),
      routes: must(start.host, ['ip', '-4', 'route', 'show', 'table', 'all']),
      sysctls: sysctls(),
    };
    await start.startDaemon();
    start.ok('network', 'create', 'web');
    const box = start.container('box', 'web', '-p', '8080:80', '-p', '10000-10999:20000-20999');
    await start.web(box.ns, 80);
    expect(start.curl(start.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    expect(sysctls()).toEqual(before.sysctls);
    const { pid } = start.daemon as { pid: number };
    await start.killDaemon('SIGTERM');
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    // each of the kinds that cleanup has to remove
    const made = addedSince(before.bpf, await bpfObjects(start));
    const pinned = readdirSync(join(start.bpffs, 'links')).length;
    expect(made.link.length).toBeGreaterThanOrEqual(pinned);
    expect(made.prog.length).toBeGreaterThan(0);
    expect(made.map.length).toBeGreaterThan(readdirSync(join(start.bpffs, 'maps')).length);

    const said = must(start.host, start.daemonCommand('cleanup', '--state'));
    expect(said).toContain(box.ns);
    expect(addedSince(before.bpf, await bpfObjects(start))).toEqual({ link: [], prog: [], map: [] });
    expect(must(start.host, ['ip', '-br', 'link'])).toBe(before.devices);
    expect(must(start.host, ['ip', '-4', 'route', 'show', 'table', 'all'])).toBe(before.routes);
    expect(sysctls()).toEqual(before.sysctls);
    expect(readdirSync('/run/netns').filter((n) => n.startsWith('box-') && n.endsWith(start.suffix))).toEqual(
      [],
    );
    expect(existsSync(start.bpffs)).toBe(false);
    expect(existsSync(`/etc/netns/${box.ns}`)).toBe(false);
    expect(existsSync(join(start.directory, 'state'))).toBe(false);
    expect(existsSync(start.socket)).toBe(false);
    // and again, with nothing left to do
    expect(run(start.host, start.daemonCommand('cleanup')).code).toBe(0);
  });
});

describe('what goes wrong around it', () => {
  it('rebuilds an endpoint whose veth was deleted, the others untouched', async () => {
    const { bed: b } = await withPublishedBox();
    const victim = b.container('victim', 'web');
    const [endpoint] = JSON.parse(b.ok('endpoint', 'inspect', `web.${victim.ns}`)) as [
      { hostInterface: string },
    ];
    must(b.host, ['ip', 'link', 'del', endpoint.hostInterface]);
    expect(b.curl(b.ext1, `http://${HOST}:8080/`).out).toBe(EXT1);
    await expect
      .poll(() => run(victim.ns, ['ping', '-c', '1', '-W', '1', EXT1]).code, {
        timeout: 20_000,
        interval: 200,
      })
      .toBe(0);
  });

  it('survives its uplink going down and up', async () => {
    const { bed: b } = await withPublishedBox();
    for (let i = 0; i < 5; i++) {
      must(b.host, ['ip', 'link', 'set', 'up0', 'down']);
      must(b.host, ['ip', 'link', 'set', 'up0', 'up']);
    }
    await expect
      .poll(() => b.curl(b.ext1, `http://${HOST}:8080/`, '-m', '1').out, { timeout: 20_000, interval: 200 })
      .toBe(EXT1);
  });
});
