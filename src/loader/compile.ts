// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';
import { access, constants, readdir } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SluiceError } from '../base/errors.js';

/** Debian's name of the machine in include paths. */
const TRIPLETS: Record<string, string> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };

async function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** `$CLANG`, `clang`, or the newest `clang-N` on the path; null if there is none. */
export async function findClang(environment: NodeJS.ProcessEnv = process.env): Promise<string | null> {
  if (environment['CLANG']) return environment['CLANG'];
  const directories = (environment['PATH'] ?? '').split(':').filter((d) => d !== '');
  for (const directory of directories)
    if (await executable(join(directory, 'clang'))) return join(directory, 'clang');
  let best: { version: number; path: string } | null = null;
  for (const directory of directories) {
    for (const name of await readdir(directory).catch(() => [])) {
      const version = Number(/^clang-(\d+)$/.exec(name)?.[1] ?? 0);
      if (version > (best?.version ?? 0)) best = { version, path: join(directory, name) };
    }
  }
  return best?.path ?? null;
}

/** Compiles one source to an object, as scripts/build-bpf.sh does. */
export async function compile(source: string, object: string): Promise<void> {
  const clang = await findClang();
  if (clang === null)
    throw new SluiceError('environment', 'there is no clang to compile the programs with', {
      hint: 'apt-get install clang, or set CLANG',
    });
  const include = `/usr/include/${TRIPLETS[arch()] ?? arch()}`;
  const options = [
    '-O2',
    '-g',
    '-Wall',
    '-Wextra',
    '-Wno-unused-parameter',
    '-Werror',
    '-fms-extensions',
    '-Wno-microsoft-anon-tag',
    '-target',
    'bpf',
    '-mcpu=v3',
  ];
  try {
    await promisify(execFile)(clang, [...options, `-I${include}`, '-c', source, '-o', object]);
  } catch (cause) {
    const first = (cause as { stderr?: string }).stderr?.split('\n').find((line) => line.includes('error:'));
    throw new SluiceError('environment', `${source} does not compile: ${first ?? (cause as Error).message}`, {
      cause,
    });
  }
}
