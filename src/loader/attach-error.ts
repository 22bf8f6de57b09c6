// SPDX-License-Identifier: Apache-2.0
import { release } from 'node:os';
import { isNativeError, SluiceError } from '../base/errors.js';
import { missingModule } from '../base/modules.js';
import { explainEperm, type ReadFacts, readFacts } from './rights.js';

/** By call, the module that an errno stands for: the kernel tried to load it, and has no better word. */
const MODULES: Readonly<Record<string, { module: string; codes: readonly string[] }>> = {
  RTM_NEWQDISC: { module: 'sch_ingress', codes: ['ENOENT', 'EOPNOTSUPP'] },
  RTM_NEWTFILTER: { module: 'cls_bpf', codes: ['ENOENT', 'EOPNOTSUPP'] },
};

/** `on`: for people, such as `ingress of eth0`. What is no refusal of the kernel's passes unchanged. */
export function attachError(
  e: unknown,
  { program, on, read = readFacts }: { program: string; on: string; read?: ReadFacts },
): unknown {
  if (!isNativeError(e)) return e;
  const what = `${program} cannot be attached to ${on}`;
  const { module, codes } = MODULES[e.syscall] ?? { module: '', codes: [] };
  if (codes.includes(e.code)) return missingModule(module, what, e);
  const said = lastWords(e.log);
  const hint = adviceFor(e.code, on, read);
  return new SluiceError('kernel', `${what}: ${e.syscall}: ${said}${e.code} (Linux ${release()})`, {
    ...(hint === null ? {} : { hint }),
    cause: e,
  });
}

function adviceFor(code: string, on: string, read: ReadFacts): string | null {
  switch (code) {
    case 'EPERM':
      return on.includes('cgroup')
        ? `${explainEperm(read)}; or another program is there and allows no other (bpftool cgroup show)`
        : explainEperm(read);
    case 'EBUSY':
    case 'EEXIST':
      return 'another program is there and leaves no room: bpftool net show, bpftool link show';
    case 'ERANGE':
    case 'ENOSPC':
    case 'E2BIG':
      return 'as many programs are there as the kernel takes: bpftool net show, bpftool cgroup show';
    case 'ENOMEM':
      return 'give the machine, the unit or the container more memory';
    default:
      return null;
  }
}

/** The kernel's own words as libbpf passes them on, with what follows them. */
function lastWords(log: string): string {
  const line = log.trim().split('\n').at(-1) ?? '';
  const words = line.replace(/^libbpf: /, '').replace(/^Kernel error message: /, '');
  return words === '' ? '' : `${words}: `;
}
