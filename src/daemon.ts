// SPDX-License-Identifier: Apache-2.0
/** `sluiced`: the command line, signals and exit codes around one daemon. */
import { setFlagsFromString } from 'node:v8';
import { SluiceError } from './base/errors.js';
import { createLog, type Log } from './base/log.js';
import { helpText, parseCommand, UsageError } from './config/load.js';
import type { Config } from './config/options.js';
import { banner } from './daemon/banner.js';
import { cleanup } from './daemon/cleanup.js';
import { notifyReady } from './daemon/notify.js';
import { restore } from './daemon/restore.js';
import { type Daemon, serve } from './daemon/serve.js';
import { VERSION } from './daemon/version.js';

/** What V8's heap may grow by between two collections, in per cent. It would let it double, or more. */
const HEAP_GROWTH = 30;
const REFUSED = 1;
const USAGE = 2;

function complain(e: unknown): void {
  const text = e instanceof Error ? e.message : String(e);
  const hint = e instanceof SluiceError && e.hint !== undefined ? `; ${e.hint}` : '';
  process.stderr.write(`sluiced: ${text}${hint}\n`);
  const isDefect =
    !(e instanceof SluiceError || e instanceof UsageError) ||
    (e instanceof SluiceError && e.code === 'internal');
  if (isDefect && e instanceof Error) process.stderr.write(`${e.stack ?? ''}\n`);
}

async function run(config: Config): Promise<void> {
  setFlagsFromString(`--heap-growing-percent=${HEAP_GROWTH}`);
  const log = createLog({ level: config.logLevel, sink: process.stderr });
  exitOnDefects(log);
  let stopping = false;
  const restart = (): void => {
    if (stopping) return;
    log.info('starting anew with another state; the dataplane goes on');
    daemon = daemon.then(async (running) => {
      await running.stop();
      return serve(config, log, restart);
    });
    daemon.catch((e: unknown) => {
      complain(e);
      process.exit(REFUSED);
    });
  };
  let daemon: Promise<Daemon> = serve(config, log, restart);
  process.stdout.write(banner(config, await daemon, process.uptime()));
  notifyReady();

  const stop = (signal: NodeJS.Signals): void => {
    if (stopping) return;
    stopping = true;
    log.info(`stopping on ${signal}; the dataplane goes on`);
    daemon
      .then((running) => running.stop())
      .then(
        () => process.exit(0),
        (e: unknown) => {
          complain(e);
          process.exit(REFUSED);
        },
      );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

/** A process in an unknown state is worse than none: the dataplane does without it, and systemd starts another. */
function exitOnDefects(log: Log): void {
  const die = (what: string) => (e: unknown) => {
    log.error(what, { err: e });
    process.exit(REFUSED);
  };
  process.on('unhandledRejection', die('unhandled rejection'));
  process.on('uncaughtException', die('uncaught exception'));
}

try {
  const command = parseCommand(process.argv.slice(2));
  switch (command.command) {
    case 'help':
      process.stdout.write(helpText());
      break;
    case 'version':
      process.stdout.write(`sluiced ${VERSION}\n`);
      break;
    case 'cleanup':
      await cleanup(command.config, {
        state: command.state,
        say: (line) => process.stdout.write(`${line}\n`),
      });
      process.exit(0);
      break;
    case 'restore':
      await restore(command.config, command.file, (line) => process.stdout.write(`${line}\n`));
      break;
    case 'run':
      await run(command.config);
      break;
  }
} catch (e) {
  complain(e);
  process.exit(e instanceof UsageError ? USAGE : REFUSED);
}
