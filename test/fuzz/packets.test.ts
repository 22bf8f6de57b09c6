// SPDX-License-Identifier: Apache-2.0
/**
 * Every program with frames that are valid, or wrong in up to three ways, over
 * maps that the frames themselves fill with flows. What must hold is checked
 * for each packet, and for the counters after each batch.
 *
 * SLUICE_FUZZ_SEED repeats a run, SLUICE_FUZZ_PACKETS says how many, of both
 * families together.
 */
import { expect, it } from 'vitest';
import { drop_reason, hook, outcome } from '../../src/maps/generated/enums.js';
import { dissect, ETHERTYPE } from '../support/craft.js';
import { FuzzBed, type FuzzedProgram, MARK, PROGRAMS, validFrame } from '../support/fuzzbed.js';
import { checkPacket, type Fate, isRefusal } from '../support/invariants.js';
import { mutate } from '../support/mutate.js';
import { Random, seedOf } from '../support/random.js';
import { CHECKSUM_COMPLETE, type Run } from '../support/testrun.js';

const TOTAL = Number(process.env['SLUICE_FUZZ_PACKETS'] || 20_000);
const BATCH = 200;
const SEED = seedOf(process.env['SLUICE_FUZZ_SEED']);

const HOOKS: Record<FuzzedProgram, number> = {
  endpoint_ingress: hook.HOOK_ENDPOINT_INGRESS,
  bridge_egress: hook.HOOK_BRIDGE_EGRESS,
  uplink_ingress: hook.HOOK_UPLINK_INGRESS,
  uplink_egress: hook.HOOK_UPLINK_EGRESS,
  uplink_xdp: hook.HOOK_UPLINK_XDP,
};
/** What each program may answer, by name of what became of the packet. */
const TC: Record<number, Fate> = { [-1]: 'passed', 2: 'dropped', 7: 'redirected' };
const ALLOWED: Record<FuzzedProgram, Record<number, Fate>> = {
  // its guard drops what goes on from it
  endpoint_ingress: { 0: 'passed', 2: 'dropped', 7: 'redirected' },
  bridge_egress: { [-1]: 'passed' },
  uplink_ingress: TC,
  uplink_egress: { [-1]: 'passed', 2: 'dropped' },
  uplink_xdp: { 1: 'dropped', 2: 'passed' },
};

/** Drops where no port is left, which few flows do not see; and XDP looks at IPv4 alone. */
const NEVER_MET = ['IPv4 uplink_egress dropped', 'IPv6 uplink_egress dropped'];

/** Counters that must add up: by hook and fate, and all drop reasons together. */
function counted(bed: FuzzBed): Map<string, { packets: bigint; bytes: bigint }> {
  const { maps } = bed.dataplane;
  const out = new Map<string, { packets: bigint; bytes: bigint }>();
  const add = (key: string, values: { packets: bigint; bytes: bigint }[]): void => {
    const sum = out.get(key) ?? { packets: 0n, bytes: 0n };
    for (const v of values) {
      sum.packets += v.packets;
      sum.bytes += v.bytes;
    }
    out.set(key, sum);
  };
  for (const program of PROGRAMS) {
    const at = HOOKS[program] * outcome.OUTCOMES;
    add(`${program} passed`, maps.hook_traffic.getPerCpu(at + outcome.OUTCOME_PASSED));
    add(`${program} dropped`, maps.hook_traffic.getPerCpu(at + outcome.OUTCOME_DROPPED));
    add(`${program} redirected`, maps.hook_traffic.getPerCpu(at + outcome.OUTCOME_TO_ENDPOINT));
    add(`${program} redirected`, maps.hook_traffic.getPerCpu(at + outcome.OUTCOME_TO_UPLINK));
    add(`${program} redirected`, maps.hook_traffic.getPerCpu(at + outcome.OUTCOME_TO_REASSEMBLY));
  }
  for (let reason = 0; reason < drop_reason.DROP_REASONS; reason++)
    add('drops', maps.drops.getPerCpu(reason));
  return out;
}

const IN_ORDER = MARK | 1;
function familyOf(data: Buffer): string {
  const type = data.readUInt16BE(12);
  return type === ETHERTYPE[4] ? 'IPv4' : type === ETHERTYPE[6] ? 'IPv6' : 'other';
}

class Fuzzer {
  readonly #bed: FuzzBed;
  readonly #random: Random;
  /** How often each program did each thing: a fuzzer that only meets drops tests little. */
  readonly fates: Record<string, number> = {};
  refused = 0;

  constructor(bed: FuzzBed, random: Random) {
    this.#bed = bed;
    this.#random = random;
  }

  /** Valid frames and mutated ones. */
  batch(size: number): Promise<void> {
    const r = this.#random;
    return this.run(
      Array.from({ length: size }, () => {
        const program = r.pick(PROGRAMS);
        return { program, ...mutate(validFrame(program, r), r) };
      }),
    );
  }

  async run(frames: readonly { program: FuzzedProgram; names: string[]; data: Buffer }[]): Promise<void> {
    const before = counted(this.#bed);
    const sent = frames.map(({ program, names, data }) => {
      const summed = program !== 'uplink_xdp' && !saysNoSum(data) && data.length <= QUOTED_WHOLE;
      const complete = this.#random.chance(0.3) && summed;
      const run: Run = {
        program: PROGRAMS.indexOf(program),
        ifindex: this.#bed.ifindex(program),
        flags: complete ? CHECKSUM_COMPLETE : 0,
        mark: this.#random.weighted([
          [16, 0],
          [3, IN_ORDER],
          [1, MARK],
        ]),
        data,
      };
      return { program, names, run };
    });
    const answers = await this.#bed.runs.run(sent.map((s) => s.run));
    const expected = new Map<string, { packets: bigint; bytes: bigint }>();
    const note = (key: string, bytes: number): void => {
      const sum = expected.get(key) ?? { packets: 0n, bytes: 0n };
      expected.set(key, { packets: sum.packets + 1n, bytes: sum.bytes + BigInt(bytes) });
    };
    sent.forEach(({ program, names, run }, i) => {
      const answer = answers[i] as (typeof answers)[number];
      const say = `seed ${SEED}: ${program}, ${names.join('+') || 'valid'}, flags ${run.flags}, mark ${run.mark}: ${run.data.toString('hex')} -> ${answer.errno ? `errno ${answer.errno}` : answer.verdict} ${answer.data.toString('hex')}`;
      if (answer.errno !== 0) {
        expect(refusedByKernel(run.data), say).toBe(answer.errno);
        this.refused++;
        return;
      }
      const allowed = ALLOWED[program][answer.verdict];
      expect(allowed, say).toBeDefined();
      const fate = allowed === 'redirected' && isRefusal(run.data, answer.data) ? 'refused' : allowed;
      const isDrop = fate === 'dropped' || fate === 'refused';
      note(`${program} ${isDrop ? 'dropped' : fate}`, run.data.length);
      if (isDrop) note('drops', run.data.length);
      const met = `${familyOf(run.data)} ${program} ${fate}`;
      this.fates[met] = (this.fates[met] ?? 0) + 1;
      expect(checkPacket(program, fate as Fate, run.data, answer.data, run.mark === IN_ORDER), say).toBe(
        null,
      );
    });
    const after = counted(this.#bed);
    for (const [key, was] of before) {
      // what XDP passes is counted by the program after it
      if (key === 'uplink_xdp passed') continue;
      const is = after.get(key) ?? was;
      const more = expected.get(key) ?? { packets: 0n, bytes: 0n };
      const grown = { packets: is.packets - was.packets, bytes: is.bytes - was.bytes };
      expect(grown, `seed ${SEED}: counter ${key}`).toEqual(more);
    }
  }
}

/**
 * A datagram that says it has no checksum. The device's sum of it is not kept,
 * here as in netfilter: nobody asks for the sum of such a packet.
 */
function saysNoSum(data: Buffer): boolean {
  if (familyOf(data) === 'IPv6') return dissect(data.subarray(14), 6)?.noSum === true;
  const at = 14 + ((data[14] ?? 0) & 15) * 4 + 6;
  return data[23] === 17 && data.length >= at + 2 && data.readUInt16BE(at) === 0;
}

/** An error of ours cuts what is longer; the kernel gives the sum up then, but test runs would check it. */
const QUOTED_WHOLE = 14 + 548;
const EINVAL = 22;
/** The kernel takes no test packet whose network header is not whole. */
function refusedByKernel(data: Buffer): number {
  const type = data.length >= 14 ? data.readUInt16BE(12) : 0;
  const short = (type === 0x0800 && data.length < 34) || (type === 0x86dd && data.length < 54);
  return short || data.length < 15 ? EINVAL : 0;
}

it.each([
  ['by hand', 1],
  ['by helpers', 0],
])('no frame breaks a program, with checksums %s', { timeout: 60_000 + TOTAL }, async (_, kern_ctx) => {
  const bed = await FuzzBed.start(kern_ctx);
  try {
    const fuzzer = new Fuzzer(bed, new Random(SEED));
    const start = Date.now();
    for (let done = 0; done < TOTAL / 2; done += BATCH) await fuzzer.batch(BATCH);
    const seconds = (Date.now() - start) / 1000;
    console.log(`seed ${SEED}: ${Math.round(TOTAL / 2 / seconds)} packets/s`, fuzzer.fates, fuzzer.refused);
    for (const [program, allowed] of Object.entries(ALLOWED))
      for (const family of ['IPv4', 'IPv6'])
        for (const fate of Object.values(allowed)) {
          const met = `${family} ${program} ${fate}`;
          if (!NEVER_MET.includes(met)) expect(fuzzer.fates[met], met).toBeGreaterThan(0);
        }
    for (const family of ['IPv4', 'IPv6'])
      for (const hook of ['endpoint_ingress', 'uplink_ingress'])
        expect(fuzzer.fates[`${family} ${hook} refused`], `${family} ${hook}`).toBeGreaterThan(0);
  } finally {
    await bed.close();
  }
});

it('no frame that is cut off breaks a program, wherever that is', async () => {
  const bed = await FuzzBed.start();
  try {
    const r = new Random(SEED);
    const fuzzer = new Fuzzer(bed, r);
    for (const program of PROGRAMS)
      for (let n = 0; n < 8; n++) {
        const whole = validFrame(program, r);
        const headers = Math.min(whole.length, 100);
        const cuts = Array.from({ length: headers - 13 }, (_, i) => whole.subarray(0, 14 + i));
        await fuzzer.run(cuts.map((data) => ({ program, names: ['cut'], data: Buffer.from(data) })));
      }
  } finally {
    await bed.close();
  }
});
