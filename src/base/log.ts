// SPDX-License-Identifier: Apache-2.0
/** Logging: what the rest of the program sees of pino. */
import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error', 'silent'];

/** Context of a line. An Error goes under `err`, which prints its code, stack and cause. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log whose lines all carry `fields`. */
  child(fields: LogFields): Log;
}

/** Where lines go; a stream such as process.stdout will do. */
export interface LogSink {
  write(line: string): unknown;
}

/** JSON lines, one an event, times in ISO 8601. */
export function createLog(options: { level?: LogLevel; sink?: LogSink } = {}): Log {
  const sink = options.sink ?? process.stdout;
  const logger = pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.err },
    },
    { write: (line: string) => void sink.write(line) },
  );
  return wrap(logger);
}

/** Says nothing. */
export function silentLog(): Log {
  return createLog({ level: 'silent' });
}

type PinoLike = Pick<ReturnType<typeof pino>, 'debug' | 'info' | 'warn' | 'error'> & {
  child(fields: object): PinoLike;
};

function wrap(logger: PinoLike): Log {
  return {
    debug: (message, fields) => logger.debug({ ...fields }, message),
    info: (message, fields) => logger.info({ ...fields }, message),
    warn: (message, fields) => logger.warn({ ...fields }, message),
    error: (message, fields) => logger.error({ ...fields }, message),
    child: (fields) => wrap(logger.child({ ...fields })),
  };
}
