// SPDX-License-Identifier: Apache-2.0
/** In a guest: attaches programs in each mode, and looks at them with ip, tc and bpftool. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Netlink } from '../../../src/link/netlink.js';
import { Attacher } from '../../../src/loader/attach.js';
import type { Direction } from '../../../src/loader/clsact.js';
import type { KernelFeatures } from '../../../src/loader/features.js';
import type { Program } from '../../../src/loader/programs.js';
import { SOCKET_HOOK_TYPES } from '../../../src/loader/socket-hooks.js';
import type { BpfNative } from '../../../src/native/bpf.js';
import { netNative } from '../../../src/native/net.js';
import { type AttachResult, DEFRAGMENTATION, TC_PROGRAMS, XDP_PROGRAM } from '../report.js';

const PINS = '/sys/fs/bpf/gate';
const VETH = 'gate0';
/** Without XDP of its own, so that the kernel's generic one is used. */
const DUMMY = 'gate1';
/** include/uapi/linux/if_link.h: XDP_ATTACHED_DRV, XDP_ATTACHED_SKB */
const XDP_MODES = { native: 1, generic: 2 } as const;

const run = (command: string, ...args: string[]): string => execFileSync(command, args, { encoding: 'utf8' });
const json = <T>(command: string, ...args: string[]): T => JSON.parse(run(command, ...args)) as T;

interface Link {
  readonly ifindex: number;
  readonly xdp?: { readonly mode: number; readonly prog: { readonly id: number } };
}
const link = (name: string): Link => json<Link[]>('ip', '-j', '-d', 'link', 'show', 'dev', name)[0] as Link;

function expectId(seen: number | undefined, program: Program): void {
  if (seen !== program.id) throw new Error(`the system's tool shows program ${seen}, not ${program.id}`);
}

/** The program of a pinned link, as bpftool tells. */
const programAt = (pin: string): number =>
  json<{ prog_id: number }>('bpftool', '-j', 'link', 'show', 'pinned', pin).prog_id;

async function attempt(
  what: string,
  lacks: string | null,
  attach: () => Promise<void>,
): Promise<AttachResult> {
  if (lacks !== null) return { what, lacks, refused: null };
  try {
    await attach();
    return { what, lacks, refused: null };
  } catch (e) {
    return { what, lacks, refused: (e as Error).message };
  }
}

export async function attachAll(
  native: BpfNative,
  features: KernelFeatures,
  programs: ReadonlyMap<string, Program>,
): Promise<AttachResult[]> {
  mkdirSync(PINS, { recursive: true });
  run('ip', 'link', 'add', VETH, 'type', 'veth', 'peer', 'name', `${VETH}p`);
  run('ip', 'link', 'add', DUMMY, 'type', 'dummy');
  const { ifindex } = link(VETH);
  const qdiscs = await Netlink.open(netNative());
  const results: AttachResult[] = [];
  const need = (name: string): Program => {
    const program = programs.get(name);
    if (program === undefined) throw new Error(`${name} does not load`);
    return program;
  };

  for (const [name, direction] of Object.entries(TC_PROGRAMS) as [string, Direction][]) {
    const pin = join(PINS, name);
    results.push(
      await attempt(`${name} by tcx`, features.tcx ? null : 'tcx', async () => {
        const attacher = new Attacher(native, { tcx: true, qdiscs });
        await attacher.attachTc(need(name), { ifindex, direction, pin });
        expectId(programAt(pin), need(name));
        await attacher.detach(pin);
      }),
      await attempt(`${name} by clsact`, null, async () => {
        const attacher = new Attacher(native, { tcx: false, qdiscs });
        await attacher.attachTc(need(name), { ifindex, direction, pin });
        const filters = run('tc', 'filter', 'show', 'dev', VETH, direction);
        expectId(Number(/\bid (\d+)/.exec(filters)?.[1]), need(name));
        await attacher.detach(pin);
      }),
    );
  }

  const attacher = new Attacher(native, { tcx: features.tcx, qdiscs });
  for (const [mode, name] of [
    ['native', VETH],
    ['generic', DUMMY],
  ] as const) {
    const pin = join(PINS, `xdp-${mode}`);
    results.push(
      await attempt(`${XDP_PROGRAM} by ${mode} XDP`, null, async () => {
        await attacher.attachXdp(need(XDP_PROGRAM), { ifindex: link(name).ifindex, pin });
        const { xdp } = link(name);
        if (xdp?.mode !== XDP_MODES[mode]) throw new Error(`ip shows mode ${xdp?.mode}, not ${mode}`);
        expectId(xdp.prog.id, need(XDP_PROGRAM));
        await attacher.detach(pin);
      }),
    );
  }

  const { cgroup } = features.socketHooks;
  for (const [hook, type] of Object.entries(SOCKET_HOOK_TYPES)) {
    const pin = join(PINS, hook);
    results.push(
      await attempt(`${hook} on the root cgroup`, cgroup === null ? 'socket hooks' : null, async () => {
        await attacher.attachSocketHook(need(hook), { cgroup: cgroup as string, type, pin });
        const shown = json<{ id: number }[]>('bpftool', '-j', 'cgroup', 'show', cgroup as string);
        if (!shown.some(({ id }) => id === need(hook).id)) throw new Error('bpftool shows no such program');
        await attacher.detach(pin);
      }),
    );
  }

  run('ip', 'netns', 'add', 'gate');
  for (const family of [4, 6] as const) {
    const pin = join(PINS, `defragmentation${family}`);
    results.push(
      await attempt(
        `${DEFRAGMENTATION} of IPv${family}`,
        features.defragment === 'link' ? null : 'netfilter links',
        async () => {
          await attacher.attachDefragmentation({ netns: '/run/netns/gate', family, pin });
          const { id } = json<{ id: number }>('bpftool', '-j', 'link', 'show', 'pinned', pin);
          if (!(id > 0)) throw new Error('bpftool shows no link');
          await attacher.detach(pin);
        },
      ),
    );
  }
  return results;
}
