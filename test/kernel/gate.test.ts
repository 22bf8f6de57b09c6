// SPDX-License-Identifier: Apache-2.0
/**
 * The oldest kernel that is supported, one in the middle and the newest there
 * is: each takes every program, within half of what its verifier would go
 * through, and has it attached. In virtual machines; see docs/KERNELS.md.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { atLeast, kernelVersion } from '../../src/loader/features.js';
import { COLLECTOR, objectFiles, variantsOf } from '../../src/loader/objects.js';
import { SOCKET_HOOK_TYPES } from '../../src/loader/socket-hooks.js';
import { runGate } from './lab/gate.js';
import { KernelPackages } from './lab/packages.js';
import {
  DEFRAGMENTATION,
  type GateReport,
  MOST_INSTRUCTIONS,
  TC_PROGRAMS,
  variantName,
  XDP_PROGRAM,
} from './report.js';

const packages = new KernelPackages();
/** Every guest has cgroup v2. Which collector a kernel gets is its own affair. */
const objects = objectFiles({
  socketHooks: { cgroup: '/sys/fs/cgroup', missing: null },
  collector: COLLECTOR,
});
/** Under the name that it has in a test's title. */
const objectOf = (name: string): string => (name.startsWith(COLLECTOR) ? COLLECTOR : name);
const variants = objects.flatMap((file) =>
  variantsOf(file).map((constants) => [file.name, variantName(constants)] as const),
);
const attachments = [
  ...Object.keys(TC_PROGRAMS).flatMap((name) => [`${name} by tcx`, `${name} by clsact`]),
  ...['native', 'generic'].map((mode) => `${XDP_PROGRAM} by ${mode} XDP`),
  ...Object.keys(SOCKET_HOOK_TYPES).map((hook) => `${hook} on the root cgroup`),
  ...[4, 6].map((family) => `${DEFRAGMENTATION} of IPv${family}`),
];

describe.skipIf(process.env['SLUICE_NO_KERNEL_TESTS'])('Linux', () => {
  describe.each(['6.1', '6.12', 'newest'])('%s', (series) => {
    let report: GateReport;
    beforeAll(async () => {
      report = await runGate(packages.get(series));
    });

    it.each(variants)('takes %s %s', (object, variant) => {
      const load = report.loads.find((l) => objectOf(l.object) === object && l.variant === variant);
      expect(load?.refused, load?.refused ?? '').toBeNull();
      expect(load?.programs.length).toBeGreaterThan(0);
      for (const { name, instructions } of load?.programs ?? []) {
        expect(instructions, name).toBeGreaterThan(0);
        expect(instructions, name).toBeLessThanOrEqual(MOST_INSTRUCTIONS);
      }
    });

    it.each(attachments)('attaches %s, or says what it lacks', (what) => {
      const found = report.attachments.find((a) => a.what === what);
      expect(found?.refused, found?.refused ?? '').toBeNull();
      // every kernel since then has all of these
      if (atLeast(kernelVersion(report.release), [6, 6])) expect(found?.lacks).toBeNull();
    });

    it('is tried with all that this checks and nothing else', () => {
      expect(report.loads.map((l) => [objectOf(l.object), l.variant])).toEqual(variants);
      expect(report.attachments.map((a) => a.what).sort()).toEqual([...attachments].sort());
    });
  });
});
