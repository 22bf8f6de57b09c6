// SPDX-License-Identifier: Apache-2.0
/** Programs that are refused, by libbpf or the kernel: why, in a line, and what to do. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type NativeError, SluiceError } from '../base/errors.js';
import { explainEperm, type ReadFacts, readFacts } from './rights.js';

const BEGIN = '-- BEGIN PROG LOAD LOG --';
const END = '-- END PROG LOAD LOG --';
/** Lines that frame the verifier's log rather than say what is wrong. */
const FRAME =
  /^(processed \d+ insns|verification time|stack depth|mark_precise|insns processed|Processed|peak_states|$)/;
/** They tell that a line before them has told why. */
const CONSEQUENCE = /^(caller passes invalid args into func#|func#\d+ .*is not safe)/i;
/** What libbpf says while all is well yet, or once it has said why. */
const ASIDE =
  /Retrying without BTF|BTF is optional|BTF loading error|BTF LOAD LOG|skipping|failed to load object|failed to load: |failed to load program|^elf: |^Kernel error message: $/;

export interface Refusal {
  /** null: it is about the object as a whole. */
  readonly program: string | null;
  readonly reason: string;
  /** The source line that it is about. */
  readonly source: string | null;
}

/** Of the text that libbpf wrote while it loaded, the verifier's log in it. */
export function readRefusal(log: string): Refusal {
  return fromVerifier(log) ?? fromLibbpf(log);
}

function fromVerifier(log: string): Refusal | null {
  const begin = log.lastIndexOf(BEGIN);
  if (begin < 0) return null;
  const end = log.indexOf(END, begin);
  const lines = log
    .slice(begin + BEGIN.length, end < 0 ? undefined : end)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => !FRAME.test(line) && !line.startsWith('libbpf:'));
  let at = lines.length - 1;
  while (at > 0 && CONSEQUENCE.test(lines[at] as string)) at--;
  const reason = lines[at];
  if (reason === undefined) return null;
  const source = lines.slice(0, at).findLast((line) => line.startsWith('; '));
  return { program: programOf(log.slice(0, begin)), reason, source: source?.slice(2) ?? null };
}

/** The first complaint is the cause, those after it what came of it. */
function fromLibbpf(log: string): Refusal {
  const lines = log
    .split('\n')
    .filter((line) => line.startsWith('libbpf: '))
    .map((line) => line.slice('libbpf: '.length).trim());
  const complaints = lines.filter(
    (line) => !ASIDE.test(line) && !line.includes(BEGIN) && !line.includes(END),
  );
  const reason = complaints[0] ?? lines.at(-1) ?? '';
  return { program: programOf(log), reason, source: null };
}

function programOf(log: string): string | null {
  return [...log.matchAll(/prog '([^']+)'/g)].at(-1)?.[1] ?? null;
}

/** What is known of a refusal by its words and its errno; null: nothing. */
export function adviceFor({ code, log }: Pick<NativeError, 'code' | 'log'>, read: ReadFacts): string | null {
  if (/JIT is required|non-JITed programs/.test(log)) return JIT_HINT;
  if (/func_proto .*incompatible with kernel|kernel function|\(func ksym\)/.test(log))
    return 'this kernel has not that function in the form which these programs call: use a version of sluice made for it';
  if (/kernel BTF|vmlinux BTF/.test(log))
    return 'use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as those of Debian and Ubuntu are';
  if (code === 'EPERM') return explainEperm(read);
  if (code === 'ENOMEM')
    return 'give the machine, the unit or the container more memory, or smaller tables by --conntrack-max';
  return null;
}

export const JIT_HINT =
  'sysctl -w net.core.bpf_jit_enable=1 (in the network namespace of the host; the kernel must be built with CONFIG_BPF_JIT=y)';

/** An object that does not load, as an error that tells why in a line and where the rest is. */
export async function loadError(
  object: string,
  e: NativeError,
  read: ReadFacts = readFacts,
): Promise<SluiceError> {
  const place = `${e.code}, Linux ${release()}`;
  const advice = adviceFor(e, read);
  if (e.log === '')
    return new SluiceError('kernel', `${object} does not load: ${e.syscall} (${place})`, {
      ...(advice === null ? {} : { hint: advice }),
      cause: e,
    });
  const file = join(await mkdtemp(join(tmpdir(), 'sluice-verifier-')), 'verifier.log');
  await writeFile(file, e.log);
  const { program, reason, source } = readRefusal(e.log);
  const where = source === null ? '' : ` at "${source}"`;
  const what = program === null ? `${object} does not load` : `the kernel refused ${program} of ${object}`;
  return new SluiceError('verifier', `${what}: ${reason}${where} (${place})`, {
    hint: `${advice === null ? '' : `${advice}; `}the whole log is in ${file}`,
    cause: e,
  });
}
