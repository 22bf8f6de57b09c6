// SPDX-License-Identifier: Apache-2.0
/**
 * Kernels as Debian's packages, unpacked and not installed, with package lists
 * of their own: what apt knows of this machine stays as it is. Everything is in
 * a cache outside the checkout.
 */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { choose, type Kernel, kernelsOf } from './series.js';

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const SUITES = [
  'bookworm',
  'bookworm-security',
  'bookworm-backports',
  'trixie',
  'trixie-backports',
  'sid',
] as const;
/** Older lists are fetched anew. */
const FRESH_MS = 24 * 3600 * 1000;
const FETCH_MS = 900_000;

export interface UnpackedKernel extends Kernel {
  /** Has boot/ or only lib/modules/RELEASE, where newer packages have the image. */
  readonly directory: string;
  readonly image: string;
}

export function cacheDirectory(environment: NodeJS.ProcessEnv = process.env): string {
  return (
    environment['SLUICE_KERNEL_CACHE'] ??
    join(environment['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sluice', 'kernels')
  );
}

/** The mirrors of Debian and of its security updates that the machine is set up with. */
function mirrors(): { debian: string; security: string } {
  const given = process.env['SLUICE_DEBIAN_MIRROR']?.replace(/\/+$/, '');
  if (given !== undefined) return { debian: given, security: `${given}-security` };
  const listed = execFileSync(
    'apt-get',
    ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages'],
    { encoding: 'utf8' },
  )
    .split('\n')
    .map((uri) => uri.replace(/\/+$/, ''));
  const debian = listed.find((uri) => uri.endsWith('/debian'));
  if (debian === undefined)
    throw new Error(
      "this machine's package sources have no mirror of Debian: name one in SLUICE_DEBIAN_MIRROR (http://HOST/debian)",
    );
  return { debian, security: listed.find((uri) => uri.endsWith('/debian-security')) ?? `${debian}-security` };
}

export class KernelPackages {
  readonly #directory: string;
  readonly #apt: string;
  readonly #say: (line: string) => void;
  #kernels: Kernel[] | undefined;

  constructor(options: { directory?: string; say?: (line: string) => void } = {}) {
    this.#directory = options.directory ?? cacheDirectory();
    this.#apt = join(this.#directory, 'apt');
    this.#say = options.say ?? (() => {});
  }

  /** All that can be had today, the oldest first. */
  offered(): Kernel[] {
    // a guest runs the programs of this machine
    if (process.arch !== 'x64')
      throw new Error('only kernels for x86-64 are tried: set SLUICE_NO_KERNEL_TESTS=1 on this machine');
    this.#kernels ??= this.#list();
    return this.#kernels;
  }

  /** The kernel of a short name, fetched and unpacked if it is not there yet. */
  get(wanted: string): UnpackedKernel {
    const kernel = choose(this.offered(), wanted);
    if (kernel === undefined)
      throw new Error(
        `there is no package of a kernel ${wanted}; there are ${[...new Set(this.offered().map((k) => k.series))].join(', ')}`,
      );
    const directory = join(this.#directory, 'unpacked', kernel.release);
    if (!existsSync(directory)) this.#fetch(kernel, directory);
    const boot = join(directory, 'boot', `vmlinuz-${kernel.release}`);
    const image = existsSync(boot) ? boot : join(directory, 'lib/modules', kernel.release, 'vmlinuz');
    if (!existsSync(image)) throw new Error(`the packages of ${kernel.release} hold no image`);
    return { ...kernel, directory, image };
  }

  #list(): Kernel[] {
    const stamp = join(this.#apt, 'stamp');
    const age = existsSync(stamp) ? Date.now() - statSync(stamp).mtimeMs : Number.POSITIVE_INFINITY;
    if (age > FRESH_MS) {
      try {
        this.#update();
        writeFileSync(stamp, '');
      } catch (cause) {
        // lists that were had once are good enough for kernels that were had then
        if (age === Number.POSITIVE_INFINITY)
          throw new Error(`no package lists: ${(cause as Error).message}`, { cause });
        this.#say(
          `package lists of ${new Date(Date.now() - age).toISOString()}: ${(cause as Error).message}`,
        );
      }
    }
    return kernelsOf(this.#run('apt-cache', ['pkgnames', 'linux-']).split('\n'));
  }

  #update(): void {
    this.#say('fetching package lists');
    for (const part of ['lists/partial', 'cache/archives/partial'])
      mkdirSync(join(this.#apt, part), { recursive: true });
    if (!existsSync(KEYRING))
      throw new Error(`${KEYRING} is missing: apt-get install debian-archive-keyring`);
    const { debian, security } = mirrors();
    const lines = SUITES.map((suite) => {
      const uri = suite.endsWith('-security') ? security : debian;
      return `deb [signed-by=${KEYRING}] ${uri} ${suite} main\n`;
    });
    writeFileSync(join(this.#apt, 'sources.list'), lines.join(''));
    this.#run('apt-get', ['update', '-qq', '--error-on=any']);
  }

  #fetch(kernel: Kernel, directory: string): void {
    this.#say(`fetching ${kernel.release}`);
    const work = `${directory}.${process.pid}`;
    rmSync(work, { recursive: true, force: true });
    mkdirSync(work, { recursive: true });
    try {
      this.#run('apt-get', ['download', '-qq', ...kernel.packages], work);
      for (const deb of readdirSync(work).filter((name) => name.endsWith('.deb'))) {
        this.#run('dpkg-deb', ['-x', deb, '.'], work);
        rmSync(join(work, deb));
      }
      // newer packages have /usr/lib/modules
      if (!existsSync(join(work, 'lib'))) symlinkSync('usr/lib', join(work, 'lib'));
      this.#run('depmod', ['-b', work, kernel.release]);
      // of two that fetch the same the first one's stays
      if (!existsSync(directory)) renameSync(work, directory);
    } finally {
      rmSync(work, { recursive: true, force: true });
    }
  }

  #run(command: string, args: string[], cwd = this.#directory): string {
    const options = [
      `Dir::Etc::sourcelist=${join(this.#apt, 'sources.list')}`,
      'Dir::Etc::sourceparts=/dev/null',
      `Dir::State::lists=${join(this.#apt, 'lists')}`,
      `Dir::Cache=${join(this.#apt, 'cache')}`,
      'APT::Architectures=amd64',
      'APT::Architecture=amd64',
      'APT::Sandbox::User=root',
    ].flatMap((option) => ['-o', option]);
    mkdirSync(this.#directory, { recursive: true });
    // one at a time, whatever other command or test run shares the cache
    const lock = ['--exclusive', join(this.#directory, 'lock')];
    const whole = command.startsWith('apt-') ? [command, ...options, ...args] : [command, ...args];
    try {
      return execFileSync('flock', [...lock, ...whole], {
        cwd,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: FETCH_MS,
        maxBuffer: 64 << 20,
      });
    } catch (e) {
      const said = (e as { stderr?: string }).stderr?.trim().split('\n').at(-1);
      throw new Error(`${command} ${args.join(' ')}: ${said || (e as Error).message}`, { cause: e });
    }
  }
}
