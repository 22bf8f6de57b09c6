// SPDX-License-Identifier: Apache-2.0
/**
 * Runs a command in a sandbox's network namespace, with its resolv.conf and
 * hosts over /etc in a mount namespace of its own. nsenter, unshare and sh
 * each become the next one, so the child is the command itself; it has our
 * stdio, which a terminal stays through.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import { isatty } from 'node:tty';
import type { SandboxObject } from '../../api/schemas/objects.js';
import type { Call } from '../call.js';
import { Client, part } from '../client.js';
import { EXIT, Failure, failed, usage } from '../failure.js';
import { findCommand } from './shared/path.js';

/** $1: the sandbox's name; the rest: the command. */
const SCRIPT = `
files=/etc/netns/$1
shift
for file in resolv.conf hosts; do
  if [ -e "$files/$file" ] && [ -e "/etc/$file" ]; then
    mount --bind "$files/$file" "/etc/$file" || exit 1
  fi
done
exec "$@"`;

export async function sandboxExec(call: Call): Promise<number> {
  const [name = '', ...rest] = call.args;
  const { command, client, help } = split(rest, call);
  if (help) {
    call.io.stdout.write(call.help());
    return EXIT.done;
  }
  if (process.geteuid?.() !== 0) {
    throw failed('environment', 'a network namespace can be entered by root only', 'run it with sudo');
  }
  const sandbox = await client.get<SandboxObject>(`sandboxes/${part(name)}`);
  if (!existsSync(sandbox.netns)) {
    throw failed(
      'not_found',
      `the namespace of sandbox '${sandbox.name}' is gone: there is no ${sandbox.netns}`,
      'remove the sandbox and create it again',
    );
  }
  const [program = '', ...args] = command;
  const found = findCommand(program, call.io.env.PATH);
  if (found !== 'found') {
    const [exit, why] = found === 'absent' ? [127, 'command not found'] : [126, 'not executable'];
    throw new Failure(exit, 'not_found', `${program}: ${why}`, {
      hint: "give a command of this host's file system",
    });
  }
  const inside = [
    'unshare',
    '--mount',
    '--propagation',
    'slave',
    '--',
    'sh',
    '-c',
    SCRIPT,
    'sluice',
    sandbox.name,
  ];
  return supervise('nsenter', [`--net=${sandbox.netns}`, '--', ...inside, program, ...args], call.io.env);
}

/** Options of ours may stand before the command, which `--` or its own name begins. */
function split(
  rest: readonly string[],
  call: Call,
): { command: readonly string[]; client: Client; help: boolean } {
  let { client } = call;
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i] as string;
    const [flag, inline] = word.split(/=(.*)/s) as [string, string | undefined];
    if (word === '--' || !word.startsWith('-')) {
      const command = rest.slice(word === '--' ? i + 1 : i);
      if (command.length > 0) return { command, client, help: false };
      break;
    }
    if (word === '--help' || word === '-h') return { command: [], client, help: true };
    if (flag !== '--socket' && flag !== '--format') {
      throw usage(`unknown option '${word}'`, 'put -- before the command; see sluice sandbox exec --help');
    }
    const value = inline ?? rest[++i];
    if (value === undefined)
      throw usage(`option '${flag}' argument missing`, 'see sluice sandbox exec --help');
    if (flag === '--socket') client = new Client(value);
  }
  throw usage('there is no command to run', 'put one behind --: sluice sandbox exec NAME -- COMMAND');
}

/** Passes signals on and answers as a shell would: the exit code, or 128 and the signal's number. */
function supervise(program: string, args: readonly string[], env: Call['io']['env']): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', env: { ...env } });
    // A terminal sends these to all its foreground processes, so the child has them already.
    const typed: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT'];
    const isTyped = [0, 1, 2].some((fd) => isatty(fd));
    const handlers = (['SIGINT', 'SIGQUIT', 'SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const).map(
      (signal) => {
        const forward = (): void => {
          if (!(isTyped && typed.includes(signal))) child.kill(signal);
        };
        process.on(signal, forward);
        return () => process.off(signal, forward);
      },
    );
    const settle = (): void => {
      for (const remove of handlers) remove();
    };
    child.on('error', (e: NodeJS.ErrnoException) => {
      settle();
      reject(failed('environment', `${program} cannot be run: ${e.code ?? e.message}`, 'install util-linux'));
    });
    child.on('exit', (code, signal) => {
      settle();
      resolve(signal === null ? (code ?? 0) : 128 + constants.signals[signal]);
    });
  });
}
