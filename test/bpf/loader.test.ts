// SPDX-License-Identifier: Apache-2.0
/** Loading, pinning, attaching; every attachment read back by ip, tc or bpftool. */
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { SluiceError } from '../../src/base/errors.js';
import { Netlink } from '../../src/link/netlink.js';
import { Attacher } from '../../src/loader/attach.js';
import { attachError } from '../../src/loader/attach-error.js';
import { ensureBpffs } from '../../src/loader/bpffs.js';
import { compile } from '../../src/loader/compile.js';
import { canLoadPrograms, describeFeatures, kernelVersion, probeKernel } from '../../src/loader/features.js';
import { loadObject } from '../../src/loader/programs.js';
import { refusedSocketHooks } from '../../src/loader/socket-hooks.js';
import { readRefusal } from '../../src/loader/verifier.js';
import { maps as descriptors } from '../../src/maps/generated/maps.js';
import { TypedMap } from '../../src/maps/typed.js';
import { bpfNative } from '../../src/native/bpf.js';
import { packageRoot } from '../../src/native/load.js';
import { netNative } from '../../src/native/net.js';
import { TestDataplane } from '../support/dataplane.js';

const native = bpfNative();
const OBJECTS = join(packageRoot(), 'dist/bpf');
const FIXTURES = join(import.meta.dirname, 'fixtures');
let work: string;
let pins: string;
let qdiscs: Netlink;

beforeAll(async () => {
  qdiscs = await Netlink.open(netNative());
  work = mkdtempSync(join(tmpdir(), 'sluice-loader-'));
  // the verifier's logs, which stay
  vi.stubEnv('TMPDIR', work);
});
afterAll(() => {
  qdiscs.close();
  vi.unstubAllEnvs();
  rmSync(work, { recursive: true });
});
beforeEach(async () => {
  pins = `/sys/fs/bpf/sluice-loader-${randomBytes(4).toString('hex')}`;
  await ensureBpffs(pins);
});
afterEach(() => rmSync(pins, { recursive: true, force: true }));

async function fixture(name: string): Promise<string> {
  const object = join(work, `${name}.bpf.o`);
  if (!existsSync(object)) await compile(join(FIXTURES, `${name}.bpf.c`), object);
  return object;
}

describe('maps and pins', () => {
  const path = join(OBJECTS, 'uplink_ingress.bpf.o');

  it('keep their contents over a reload, and their ids', async () => {
    const first = await loadObject(native, { path, pins, sizes: { flows4: 64, flows4_new: 64 } });
    const open = (o: typeof first) =>
      new TypedMap(native, descriptors.host_addr4, () => (o.maps.get('host_addr4') as { fd: number }).fd);
    open(first).set('192.0.2.1', 5);
    const id = native.bpfMapInfo((first.maps.get('host_addr4') as { fd: number }).fd).id;
    first.close();
    const second = await loadObject(native, { path, pins, sizes: { flows4: 64, flows4_new: 64 } });
    expect(open(second).get('192.0.2.1')).toBe(5);
    expect(native.bpfMapInfo((second.maps.get('host_addr4') as { fd: number }).fd).id).toBe(id);
    expect(second.recreated).toEqual([]);
    second.close();
    expect(() => open(second).get('192.0.2.1')).toThrow(/closed/);
  });

  it('are made anew, and said to be, where the layout changed', async () => {
    (await loadObject(native, { path, pins, sizes: { flows4: 64 } })).close();
    const again = await loadObject(native, { path, pins, sizes: { flows4: 128 } });
    expect(again.recreated).toEqual(['flows4']);
    again.close();
  });

  it('leave nothing behind when the load fails', async () => {
    const object = await fixture('refused');
    await expect(loadObject(native, { path: object, pins })).rejects.toThrow(SluiceError);
    expect(readdirSync(pins)).toEqual([]);
  });

  it('hold 10,000 entries written, read and deleted in batches', async () => {
    const object = await loadObject(native, { path });
    const map = new TypedMap(
      native,
      descriptors.publishes,
      () => (object.maps.get('publishes') as { fd: number }).fd,
    );
    const value = {
      endpoint: 1,
      generation: 1,
      addr4: '10.0.0.1',
      host_port: 1,
      host_port_end: 2,
      port: 3,
      protocol: 6,
      flags: 0,
      addr6: '::',
    };
    const pairs = Array.from({ length: 10_000 }, (_, i) => [i + 1, { ...value, endpoint: i }] as const);
    map.setBatch(pairs);
    expect(await map.count()).toBe(10_000);
    const seen = new Map<number, number>();
    for await (const [k, v] of map.entries(1000)) seen.set(k, v.endpoint);
    expect(seen.size).toBe(10_000);
    expect(seen.get(5001)).toBe(5000);
    map.deleteBatch([1, 99_999, 2]); // one is absent
    expect(map.get(1)).toBeUndefined();
    expect(map.get(2)).toBeUndefined();
    expect(map.delete(1)).toBe(false);
    object.close();
  });
});

describe('the verifier', () => {
  it('is quoted with the telling line, and the whole log is kept', async () => {
    const e = await loadObject(native, { path: await fixture('refused') }).then(
      () => undefined,
      (reason: unknown) => reason as SluiceError,
    );
    expect(e?.code).toBe('verifier');
    expect(e?.message).toMatch(/refused\.bpf\.o: .*invalid mem access 'map_value_or_null'/);
    const file = /is in (\S+)/.exec(e?.hint ?? '')?.[1] as string;
    expect(readFileSync(file, 'utf8')).toContain('processed');
  });

  it.each([
    [
      'ksym',
      /^ksym\.bpf\.o does not load: .*'bpf_cast_to_kern_ctx'.*incompatible with kernel.* \(EINVAL, Linux \S+\)$/,
      /another version|made for it.*whole log is in/,
    ],
    ['absent', /^absent\.bpf\.o does not load: .*'bpf_of_no_kernel'.* \(EINVAL, Linux \S+\)$/, /made for it/],
    [
      'huge',
      /^huge\.bpf\.o does not load: map 'huge': failed to create: .* \((E2BIG|ENOMEM), Linux \S+\)$/,
      /whole log/,
    ],
  ])('and libbpf say why they refuse: %s', async (name, message, hint) => {
    const e = (await loadObject(native, { path: await fixture(name) }).catch(
      (e: unknown) => e,
    )) as SluiceError;
    expect(e).toMatchObject({
      code: 'verifier',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
    expect(e.message).not.toContain('\n');
  });

  it('spends at most half of the million instructions that it looks at on any program', async () => {
    for (const l3_device of [0, 1]) {
      const d = await TestDataplane.load({ l3_device });
      const spent = (await d.programs()).map(({ name, info }) => [name, info.verifiedInstructions] as const);
      d.close();
      expect(spent.length).toBeGreaterThan(15);
      expect(spent.filter(([, instructions]) => instructions === 0 || instructions > 500_000)).toEqual([]);
    }
  });

  // libbpf before 1.2 gives the address of a module's function in a way that no kernel takes
  it('is asked for the address of no function of its modules', () => {
    const objects = readdirSync(OBJECTS).filter((file) => file.endsWith('.bpf.o'));
    const addresses = objects.flatMap((file) => {
      const read = (what: string) =>
        execFileSync('readelf', [what, '-W', join(OBJECTS, file)], { encoding: 'utf8', maxBuffer: 64 << 20 });
      const elsewhere = [...read('-s').matchAll(/ UND (\w+)$/gm)].map(([, name]) => name);
      const taken = [...read('-r').matchAll(/R_BPF_INSN_64 .* (\w+)$/gm)].map(([, name]) => name);
      expect(taken.length).toBeGreaterThan(file.startsWith('abi') ? -1 : 0);
      return taken.filter((name) => elsewhere.includes(name)).map((name) => `${file} ${name}`);
    });
    expect(addresses).toEqual([]);
  });

  it('is read to the last line that says something', () => {
    const log = `libbpf: x\n-- BEGIN PROG LOAD LOG --\n; return *value;\n5: (61) r0 = *(u32 *)(r0 +0)\nR0 invalid mem access 'scalar'\nverification time 5 usec\nprocessed 6 insns\n-- END PROG LOAD LOG --\nlibbpf: failed`;
    expect(readRefusal(log)).toEqual({
      program: null,
      reason: "R0 invalid mem access 'scalar'",
      source: 'return *value;',
    });
  });
});

describe('the kernel', () => {
  it('is asked what it has', async () => {
    const features = await probeKernel();
    expect(refusedSocketHooks(native)).toEqual([]);
    expect(describeFeatures(features).map((f) => f.feature)).toContain('tcx');
    expect(canLoadPrograms(native)).toBe(true);
    expect(kernelVersion('6.1.0-28-amd64')).toEqual([6, 1]);
  });

  it('is refused by name where it is too old or has no types', async () => {
    await expect(probeKernel({ version: [5, 15] })).rejects.toThrow(/Linux 5\.15 is too old/);
    await expect(probeKernel({ btf: '/nonexistent' })).rejects.toThrow(/no type information/);
  });
});

describe('the ring buffer', () => {
  it('hands over what programs put in, in order', async () => {
    const object = await loadObject(native, { path: await fixture('ring') });
    const seen: number[] = [];
    const ring = native.bpfRingOpen((object.maps.get('records') as { fd: number }).fd, (r) =>
      seen.push(r.readUInt32LE(0)),
    );
    for (const length of [60, 61, 62])
      await object.programs.get('ring')?.testRun({ data: Buffer.alloc(length), repeat: 1 });
    await expect.poll(() => seen).toEqual([60, 61, 62]);
    native.bpfRingClose(ring);
    native.bpfRingClose(ring);
    object.close();
  });
});

describe('attachments', () => {
  let link: string;
  let ifindex: number;
  beforeEach(() => {
    // on a veth pair of its own, down and without addresses, so that nothing passes it
    link = `sll${randomBytes(4).toString('hex')}`;
    execFileSync('ip', ['link', 'add', link, 'type', 'veth', 'peer', 'name', `${link}p`]);
    ifindex = (
      JSON.parse(execFileSync('ip', ['-j', 'link', 'show', link], { encoding: 'utf8' })) as [
        { ifindex: number },
      ]
    )[0].ifindex;
  });
  afterEach(() => {
    try {
      execFileSync('ip', ['link', 'del', link], { stdio: 'ignore' });
    } catch {
      // a test deletes it itself
    }
  });
  const shown = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: 'utf8' });

  it('are tcx links that exchange their program in place', async () => {
    const one = await loadObject(native, { path: await fixture('ring') });
    const two = await loadObject(native, { path: await fixture('ring') });
    const attacher = new Attacher(native, { tcx: true, qdiscs });
    const at = { ifindex, direction: 'ingress', pin: join(pins, 'links', 'x') } as const;
    const program = (o: typeof one) =>
      o.programs.get('ring') as NonNullable<ReturnType<typeof o.programs.get>>;
    await attacher.attachTc(program(one), at);
    const [before] = await attacher.listAttachments(join(pins, 'links'));
    expect(before).toMatchObject({ ifindex, programId: program(one).id });
    const id = (JSON.parse(shown('bpftool', '-j', 'link', 'show', 'pinned', at.pin)) as { id: number }).id;
    await attacher.attachTc(program(two), at);
    const after = JSON.parse(shown('bpftool', '-j', 'link', 'show', 'pinned', at.pin)) as {
      id: number;
      prog_id: number;
    };
    expect(after).toMatchObject({ id, prog_id: program(two).id });
    one.close();
    two.close();

    shown('ip', 'link', 'del', link);
    expect((await attacher.listAttachments(join(pins, 'links')))[0]?.ifindex).toBe(0);
    await attacher.detach(at.pin);
    await attacher.detach(at.pin);
    expect(readdirSync(join(pins, 'links'))).toEqual([]);
  });

  describe('without tcx', () => {
    let object: Awaited<ReturnType<typeof loadObject>>;
    let attacher: Attacher;
    const directory = () => join(pins, 'links');
    const qdisc = () =>
      (JSON.parse(shown('tc', '-j', 'qdisc', 'show', 'dev', link)) as { kind: string }[])
        .map(({ kind }) => kind)
        .filter((kind) => kind !== 'noqueue');
    const filters = (direction: 'ingress' | 'egress') =>
      shown('tc', 'filter', 'show', 'dev', link, direction).match(/direct-action/g)?.length ?? 0;
    const at = (direction: 'ingress' | 'egress') =>
      ({ ifindex, direction, pin: join(directory(), direction) }) as const;
    const program = () => object.programs.get('ring') as NonNullable<ReturnType<typeof object.programs.get>>;
    const foreign = () =>
      shown('tc', 'filter', 'add', 'dev', link, 'egress', 'prio', '1', 'bpf', 'bytecode', '1,6 0 0 0');

    beforeEach(async () => {
      object = await loadObject(native, { path: await fixture('ring') });
      attacher = new Attacher(native, { tcx: false, qdiscs });
    });
    afterEach(() => object.close());

    it('are clsact filters, whose qdisc goes with the last of them', async () => {
      for (const direction of ['ingress', 'egress'] as const) {
        expect((await attacher.attachTc(program(), at(direction))).mode).toBe('clsact');
        await attacher.attachTc(program(), at(direction));
        expect(filters(direction)).toBe(1);
      }
      expect(await attacher.listAttachments(directory())).toHaveLength(2);
      await attacher.detach(at('ingress').pin);
      expect([filters('ingress'), filters('egress'), qdisc()]).toEqual([0, 1, ['clsact']]);
      // the daemon that takes the last one off is another one, which has links
      await new Attacher(native, { tcx: true, qdiscs }).detach(at('egress').pin);
      expect(qdisc()).toEqual([]);
      expect(readdirSync(directory())).toEqual([]);
    });

    it('leave a qdisc that was there, and one that others have filters on', async () => {
      shown('tc', 'qdisc', 'add', 'dev', link, 'clsact');
      await attacher.attachTc(program(), at('ingress'));
      await attacher.detach(at('ingress').pin);
      expect([filters('ingress'), qdisc()]).toEqual([0, ['clsact']]);

      shown('tc', 'qdisc', 'del', 'dev', link, 'clsact');
      await attacher.attachTc(program(), at('ingress'));
      foreign();
      await attacher.detach(at('ingress').pin);
      expect([filters('ingress'), qdisc()]).toEqual([0, ['clsact']]);
      expect(shown('tc', 'filter', 'show', 'dev', link, 'egress')).toContain('bytecode');
      expect(readdirSync(directory())).toEqual([]);
    });

    it('refuse the ingress qdisc, which would run those of the way out on the way in', async () => {
      shown('tc', 'qdisc', 'add', 'dev', link, 'ingress');
      await expect(attacher.attachTc(program(), at('egress'))).rejects.toThrow(
        /`ingress` in place of clsact/,
      );
      expect([qdisc(), readdirSync(directory())]).toEqual([['ingress'], []]);
    });

    it('follow a device that is gone and came back by its name', async () => {
      await attacher.attachTc(program(), at('ingress'));
      shown('ip', 'link', 'del', link);
      shown('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', `${link}p`);
      ifindex = (JSON.parse(shown('ip', '-j', 'link', 'show', link)) as [{ ifindex: number }])[0].ifindex;
      await attacher.attachTc(program(), at('ingress'));
      expect(await attacher.listAttachments(directory())).toMatchObject([
        { ifindex, programId: program().id },
      ]);
      await attacher.detach(at('ingress').pin);
      expect([qdisc(), readdirSync(directory())]).toEqual([[], []]);
    });

    it('take the place of links, and links theirs', async () => {
      const links = new Attacher(native, { tcx: true, qdiscs });
      await links.attachTc(program(), at('ingress'));
      links.close();
      await attacher.attachTc(program(), at('ingress'));
      expect(await attacher.listAttachments(directory())).toMatchObject([{ ifindex, mode: 'clsact' }]);
      await links.attachTc(program(), at('ingress'));
      expect(await links.listAttachments(directory())).toMatchObject([{ ifindex, mode: 'tcx' }]);
      expect(qdisc()).toEqual([]);
      await links.detach(at('ingress').pin);
    });
  });

  it('are native on XDP where the driver can, generic elsewhere', async () => {
    const object = await loadObject(native, { path: await fixture('ring') });
    const attacher = new Attacher(native, { tcx: true, qdiscs });
    const program = object.programs.get('pass') as NonNullable<ReturnType<typeof object.programs.get>>;
    const mode = async (name: string) => {
      const index = (JSON.parse(shown('ip', '-j', 'link', 'show', name)) as [{ ifindex: number }])[0].ifindex;
      const pin = join(pins, 'links', name);
      const { mode } = await attacher.attachXdp(program, { ifindex: index, pin });
      const [seen] = JSON.parse(shown('ip', '-j', '-d', 'link', 'show', name)) as [
        { xdp?: { mode: number } },
      ];
      await attacher.detach(pin);
      return [mode, seen.xdp?.mode];
    };
    // include/uapi/linux/if_link.h: XDP_ATTACHED_DRV 1, XDP_ATTACHED_SKB 2
    expect(await mode(link)).toEqual(['xdp-native', 1]);
    const busy = join(pins, 'links', 'busy');
    await attacher.attachXdp(program, { ifindex, pin: busy });
    const second = attacher.attachXdp(program, { ifindex, pin: join(pins, 'links', 'second') });
    const e = attachError(await second.catch((e: unknown) => e), { program: 'pass', on: `xdp of ${link}` });
    expect(e).toMatchObject({
      message: expect.stringMatching(
        /^pass cannot be attached to xdp of sll.*: BPF_LINK_CREATE: EBUSY \(Linux /,
      ),
      hint: expect.stringContaining('another program is there'),
    });
    await attacher.detach(busy);
    const bridge = `slx${randomBytes(4).toString('hex')}`;
    shown('ip', 'link', 'add', bridge, 'type', 'bridge');
    try {
      expect(await mode(bridge)).toEqual(['xdp-generic', 2]);
    } finally {
      shown('ip', 'link', 'del', bridge);
    }
    object.close();
  });
});
