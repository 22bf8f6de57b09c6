// SPDX-License-Identifier: Apache-2.0
/**
 * In a guest: loads every object in every variant that this kernel gets,
 * attaches every program in every mode, and prints the report.
 */
import { execFileSync } from 'node:child_process';
import { release } from 'node:os';
import { join } from 'node:path';
import { isNativeError, SluiceError } from '../../../src/base/errors.js';
import { describeFeatures, type KernelFeatures, probeKernel } from '../../../src/loader/features.js';
import { kernelConstants, MAPS_OBJECT, objectFiles, variantsOf } from '../../../src/loader/objects.js';
import { type LoadedObject, loadObject, type Program } from '../../../src/loader/programs.js';
import { encodeConfig } from '../../../src/maps/config.js';
import { bpfNative } from '../../../src/native/bpf.js';
import { packageRoot } from '../../../src/native/load.js';
import { type GateReport, type LoadResult, variantName } from '../report.js';
import { attachAll } from './attach.js';

const native = bpfNative();
const objectPath = (name: string): string => join(packageRoot(), 'dist/bpf', `${name}.bpf.o`);
/** Instructions do not depend on it, and a guest is small. */
const FLOWS = 1024;
/** Of what the kernel says, the end. */
const LOG_LINES = 40;

/** The telling line, and below it what the verifier or libbpf said last. */
function refusal(e: unknown): string {
  const cause = e instanceof SluiceError ? e.cause : e;
  const log = isNativeError(cause) ? cause.log.trim().split('\n').slice(-LOG_LINES) : [];
  return [(e as Error).message, ...log].join('\n');
}

async function tryLoad(
  maps: LoadedObject,
  name: string,
  constants: Readonly<Record<string, number>>,
  features: KernelFeatures,
): Promise<{ result: LoadResult; object: LoadedObject | null }> {
  const begun = performance.now();
  const done = { object: name, variant: variantName(constants) };
  const milliseconds = (): number => Math.round(performance.now() - begun);
  try {
    const object = await loadObject(native, {
      path: objectPath(name),
      share: maps.maps,
      rodata: encodeConfig({ ...kernelConstants(features), ...constants }),
    });
    const programs = [...object.programs.values()].map((program) => ({
      name: program.name,
      instructions: program.info().verifiedInstructions,
    }));
    return { result: { ...done, milliseconds: milliseconds(), refused: null, programs }, object };
  } catch (e) {
    return {
      result: { ...done, milliseconds: milliseconds(), refused: refusal(e), programs: [] },
      object: null,
    };
  }
}

// as on most hosts: its functions are then known to the programs, which is more to verify
execFileSync('modprobe', ['nf_conntrack']);
const features = await probeKernel();
const maps = await loadObject(native, {
  path: objectPath(MAPS_OBJECT),
  sizes: { flows4: FLOWS, flows4_new: FLOWS, flows6: FLOWS, flows6_new: FLOWS },
});
const loads: LoadResult[] = [];
const programs = new Map<string, Program>();
for (const file of objectFiles(features)) {
  for (const constants of variantsOf(file)) {
    const { result, object } = await tryLoad(maps, file.name, constants, features);
    console.error(
      `gate: ${result.object} ${result.variant} ${result.refused ?? 'loaded'} ${result.milliseconds} ms`,
    );
    loads.push(result);
    // what is attached is of the first variant that loads
    for (const [name, program] of object?.programs ?? [])
      if (!programs.has(name)) programs.set(name, program);
  }
}
const report: GateReport = {
  release: release(),
  features: Object.fromEntries(describeFeatures(features).map(({ feature, using }) => [feature, using])),
  loads,
  attachments: await attachAll(native, features, programs),
};
console.log(JSON.stringify(report));
process.exit();
