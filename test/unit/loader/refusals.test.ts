// SPDX-License-Identifier: Apache-2.0
/** What libbpf and kernels have said, as it was captured; what of it is told, and what advice goes with it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NativeError } from '../../../src/base/errors.js';
import { checkCapabilities } from '../../../src/daemon/checks.js';
import { attachError } from '../../../src/loader/attach-error.js';
import { probeKernel } from '../../../src/loader/features.js';
import { explainEperm, type ReadFacts } from '../../../src/loader/rights.js';
import { loadError, readRefusal } from '../../../src/loader/verifier.js';
import type { BpfNative } from '../../../src/native/bpf.js';

/** Linux 7.3 with libbpf 1.1 */
const KSYM = `libbpf: extern (func ksym) 'bpf_wq_set_callback_impl': func_proto [91] incompatible with kernel [66044]
libbpf: failed to load object 'collector.bpf.o'
`;
/** Linux 6.1: the line that tells, and what came of it. */
const ARGUMENTS = `libbpf: prog 'uplink_ingress': BPF program load failed: Permission denied
libbpf: prog 'uplink_ingress': -- BEGIN PROG LOAD LOG --
Validating flow_open_family() func#9...
; const struct flow_value *held = bpf_map_lookup_elem(map, &key);
41: (85) call bpf_map_lookup_elem#1
R2 type=mem expected=fp, pkt, pkt_meta, map_key, map_value
Caller passes invalid args into func#9 ('flow_open_family')
processed 41 insns (limit 1000000) max_states_per_insn 0 total_states 3 peak_states 3 mark_read 1
-- END PROG LOAD LOG --
libbpf: prog 'uplink_ingress': failed to load: -13
libbpf: failed to load object 'uplink_ingress.bpf.o'
`;
const STACK = `libbpf: prog 'endpoint_ingress': BPF program load failed: Permission denied
libbpf: prog 'endpoint_ingress': -- BEGIN PROG LOAD LOG --
combined stack size of 4 calls is 544. Too large
verification time 81234 usec
stack depth 192+144+80+80+8
processed 170143 insns (limit 1000000) max_states_per_insn 31 total_states 9876 peak_states 1234 mark_read 77
-- END PROG LOAD LOG --
libbpf: prog 'endpoint_ingress': failed to load: -13
libbpf: failed to load object 'endpoint_ingress.bpf.o'
`;
const LARGE = `libbpf: prog 'connect6': BPF program load failed: Argument list too long
libbpf: prog 'connect6': -- BEGIN PROG LOAD LOG --
; if (weight < best)
77: (2d) if r2 > r1 goto pc+4
BPF program is too large. Processed 1000001 insn
processed 1000001 insns (limit 1000000) max_states_per_insn 31 total_states 9876 peak_states 1234 mark_read 77
-- END PROG LOAD LOG --
libbpf: prog 'connect6': failed to load: -7
libbpf: failed to load object 'socket6.bpf.o'
`;
/** net.core.bpf_jit_enable=0 */
const JIT = `libbpf: prog 'collector': BPF program load failed: unknown error (-524)
libbpf: prog 'collector': -- BEGIN PROG LOAD LOG --
JIT is required for calling kernel function
processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'collector': failed to load: -524
libbpf: failed to load object 'collector.bpf.o'
`;
const MEMORY = `libbpf: Error in bpf_create_map_xattr(flows4):Cannot allocate memory(-12). Retrying without BTF.
libbpf: map 'flows4': failed to create: Cannot allocate memory(-12)
libbpf: failed to load object 'abi.bpf.o'
`;
const PERMISSION = `libbpf: Error in bpf_object__probe_loading():Operation not permitted(1). Couldn't load trivial BPF program. Make sure your kernel supports BPF (CONFIG_BPF_SYSCALL=y) and/or that RLIMIT_MEMLOCK is set to big enough value.
libbpf: failed to load object 'abi.bpf.o'
`;
const BTF = `libbpf: kernel BTF is missing at '/sys/kernel/btf/vmlinux', was CONFIG_DEBUG_INFO_BTF enabled?
libbpf: failed to find valid kernel BTF
libbpf: Error loading vmlinux BTF: -3
libbpf: failed to load object 'collector.bpf.o'
`;
/** A verifier without a word, as where a security module says no. */
const WORDLESS = `libbpf: prog 'uplink_xdp': BPF program load failed: Operation not permitted
libbpf: prog 'uplink_xdp': failed to load: -1
libbpf: failed to load object 'uplink_xdp.bpf.o'
`;

const native = (code: string, log: string, syscall = 'BPF_PROG_LOAD'): NativeError =>
  Object.assign(new Error(code), { kind: 'native' as const, code, errno: 1, syscall, log });

const ROOT: Record<string, string> = {
  '/proc/self/status': 'CapEff:\t000001ffffffffff\n',
  '/proc/self/uid_map': '         0          0 4294967295\n',
};
const reading =
  (files: Record<string, string>): ReadFacts =>
  (path) =>
    files[path] ?? '';

let work: string;
beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'sluice-refusals-'));
  vi.stubEnv('TMPDIR', work);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(work, { recursive: true });
});

describe('an object that does not load', () => {
  it.each([
    [
      'a function of another form',
      KSYM,
      { program: null, reason: /^extern \(func ksym\) 'bpf_wq_set_callback_impl': func_proto/ },
    ],
    [
      'a call that is refused for its arguments',
      ARGUMENTS,
      { program: 'uplink_ingress', reason: /^R2 type=mem expected=fp, pkt, pkt_meta, map_key, map_value$/ },
    ],
    [
      'a stack that is too deep',
      STACK,
      { program: 'endpoint_ingress', reason: /^combined stack size of 4 calls is 544\. Too large$/ },
    ],
    [
      'a program that is too large',
      LARGE,
      { program: 'connect6', reason: /^BPF program is too large\. Processed 1000001 insn$/ },
    ],
    ['no JIT', JIT, { program: 'collector', reason: /^JIT is required for calling kernel function$/ }],
    [
      'no memory',
      MEMORY,
      { program: null, reason: /^map 'flows4': failed to create: Cannot allocate memory\(-12\)$/ },
    ],
    [
      'no right',
      PERMISSION,
      { program: null, reason: /Operation not permitted\(1\)\. Couldn't load trivial BPF program/ },
    ],
    ['no type information', BTF, { program: null, reason: /^kernel BTF is missing at/ }],
    [
      'no word of the verifier',
      WORDLESS,
      { program: 'uplink_xdp', reason: /BPF program load failed: Operation not permitted/ },
    ],
  ])('tells the line that says why: %s', (_, log, { program, reason }) => {
    const refusal = readRefusal(log);
    expect(refusal.program).toBe(program);
    expect(refusal.reason).toMatch(reason);
  });

  it('has the source line where there is one', () => {
    expect(readRefusal(ARGUMENTS).source).toBe(
      'const struct flow_value *held = bpf_map_lookup_elem(map, &key);',
    );
    expect(readRefusal(STACK).source).toBeNull();
  });

  it.each([
    ['EINVAL', KSYM, /use a version of sluice made for it/],
    ['E524', JIT, /sysctl -w net\.core\.bpf_jit_enable=1/],
    ['ENOMEM', MEMORY, /--conntrack-max/],
    ['EPERM', PERMISSION, /security module|seccomp/],
    ['ESRCH', BTF, /CONFIG_DEBUG_INFO_BTF/],
  ])('says what to do about %s', async (code, log, hint) => {
    const e = await loadError('x.bpf.o', native(code, log), reading(ROOT));
    expect(e.message).toMatch(
      new RegExp(
        `^(x\\.bpf\\.o does not load|the kernel refused \\w+ of x\\.bpf\\.o): .*\\(${code}, Linux \\S+\\)$`,
      ),
    );
    expect(e.hint).toMatch(hint);
    expect(readFileSync(/whole log is in (\S+)$/.exec(e.hint ?? '')?.[1] as string, 'utf8')).toBe(log);
  });

  it('has a reason without any log', async () => {
    const e = await loadError('x.bpf.o', native('EPERM', ''), reading({}));
    expect(e.message).toMatch(/^x\.bpf\.o does not load: BPF_PROG_LOAD \(EPERM, Linux /);
    expect(e.hint).toMatch(/lacks CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF/);
  });
});

describe('a missing right', () => {
  it('is named', () => {
    const net = { ...ROOT, '/proc/self/status': 'CapEff:\t0000000000201000\n' };
    expect(explainEperm(reading(net))).toBe('this process lacks CAP_BPF: run sluiced as root');
    expect(() => checkCapabilities(reading(net))).toThrow('this process lacks CAP_BPF');
    expect(() => checkCapabilities(reading(ROOT))).not.toThrow();
  });
  it('is told from a user namespace, a kernel that is locked down, and all else', () => {
    expect(explainEperm(reading({ ...ROOT, '/proc/self/uid_map': '0 100000 65536\n' }))).toMatch(
      /user namespace/,
    );
    const lockdown = { ...ROOT, '/sys/kernel/security/lockdown': 'none integrity [confidentiality]\n' };
    expect(explainEperm(reading(lockdown))).toMatch(/lockdown=confidentiality/);
    const open = { ...ROOT, '/sys/kernel/security/lockdown': '[none] integrity confidentiality\n' };
    expect(explainEperm(reading(open))).toMatch(/security module/);
  });
});

describe('a program that cannot be attached', () => {
  const at = (on: string) => ({ program: 'uplink_ingress', on, read: reading(ROOT) });
  it('names the module that is missing', () => {
    const qdisc = native(
      'ENOENT',
      'libbpf: Kernel error message: Specified qdisc kind is unknown\n',
      'RTM_NEWQDISC',
    );
    expect(attachError(qdisc, at('ingress of eth0'))).toMatchObject({
      code: 'environment',
      message:
        'uplink_ingress cannot be attached to ingress of eth0: the kernel module sch_ingress is not loaded and could not be loaded',
      hint: expect.stringMatching(/^modprobe sch_ingress;/),
    });
    expect(attachError(native('ENOENT', '', 'RTM_NEWTFILTER'), at('egress of eth0'))).toMatchObject({
      message: expect.stringContaining('module cls_bpf'),
    });
  });
  it.each([
    ['EBUSY', /leaves no room.*bpftool net show/],
    ['ERANGE', /as many programs/],
    ['ENOMEM', /memory/],
    ['EPERM', /security module/],
  ])('says what to do about %s', (code, hint) => {
    const e = attachError(native(code, '', 'BPF_LINK_CREATE'), at('xdp of eth0'));
    expect(e).toMatchObject({
      message: expect.stringMatching(
        new RegExp(`^uplink_ingress cannot be attached to xdp of eth0: BPF_LINK_CREATE: ${code} \\(Linux `),
      ),
      hint: expect.stringMatching(hint),
    });
  });
  it("passes the kernel's words on, and what is no refusal of its own", () => {
    const e = attachError(
      native('EINVAL', 'libbpf: Kernel error message: Exclusivity flag on\n', 'RTM_NEWTFILTER'),
      at('x'),
    );
    expect((e as Error).message).toContain('Exclusivity flag on: EINVAL');
    const other = new Error('no');
    expect(attachError(other, at('x'))).toBe(other);
    expect(attachError(native('EPERM', ''), at('cgroup /sys/fs/cgroup'))).toMatchObject({
      hint: expect.stringMatching(/bpftool cgroup show/),
    });
  });
});

describe('the JIT', () => {
  const jited = (jitedLength: number) =>
    ({
      bpfProgramLoadRaw: () => 3,
      bpfProgramInfo: () => ({ jitedLength }),
      bpfCloseFd: () => undefined,
    }) as unknown as BpfNative;
  it('is required, and its sysctl is named', async () => {
    const probe = probeKernel({ native: jited(0), btf: '/dev/null' });
    await expect(probe).rejects.toMatchObject({
      code: 'environment',
      message: expect.stringMatching(/does not compile BPF programs \(JIT\)/),
      hint: expect.stringContaining('net.core.bpf_jit_enable=1'),
    });
    const without = ['netfilter_link'] as const;
    expect(await probeKernel({ native: jited(64), btf: '/dev/null', without })).toMatchObject({ tcx: false });
  });
});
