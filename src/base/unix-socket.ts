// SPDX-License-Identifier: Apache-2.0
/** Unix sockets that a daemon listens on: one daemon each, and nobody gets in early. */
import { lstatSync, type Stats, unlinkSync } from 'node:fs';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import { makeDirectory } from './directories.js';
import { SluiceError } from './errors.js';

export interface SocketPlace {
  readonly path: string;
  /** The option that names it, without dashes. */
  readonly flag: string;
  /** Of directories that are missing; 0755 unless given. */
  readonly directoryMode?: number;
}

/** Removes a socket that nobody answers on; refuses any other thing in its place. */
export async function makeWay({ path, flag, directoryMode = 0o755 }: SocketPlace): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH) {
    throw new SluiceError('invalid_argument', `the socket path ${path} is too long`, {
      field: flag,
      hint: `give one of at most ${MAX_PATH} bytes`,
    });
  }
  let stats: Stats;
  try {
    makeDirectory(dirname(path), directoryMode);
  } catch (e) {
    throw unusable({ path, flag }, e);
  }
  try {
    stats = lstatSync(path);
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw unusable({ path, flag }, e);
  }
  if (!stats.isSocket()) {
    throw new SluiceError('environment', `${path} exists and is not a socket`, {
      field: flag,
      hint: `move it away, or give another --${flag}`,
    });
  }
  if (await isAnswered({ path, flag })) {
    throw new SluiceError('daemon_running', `another daemon listens on ${path}`, {
      field: flag,
      hint: `stop it, or give another --${flag}`,
    });
  }
  try {
    unlinkSync(path);
  } catch (e) {
    throw unusable({ path, flag }, e);
  }
}

/** Removes a socket whose daemon is dead. Answers whether there was one. */
export async function removeDead(place: SocketPlace): Promise<boolean> {
  try {
    if (!lstatSync(place.path).isSocket() || (await isAnswered(place))) return false;
    unlinkSync(place.path);
    return true;
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw e instanceof SluiceError ? e : unusable(place, e);
  }
}

/** sun_path holds 108 bytes, one of them the terminating zero (unix(7)); libuv cuts longer ones. */
const MAX_PATH = 107;

function isAnswered({ path, flag }: SocketPlace): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (e: NodeJS.ErrnoException) => {
      if (e.code === 'ECONNREFUSED' || e.code === 'ENOENT') resolve(false);
      // A full backlog: somebody is there, if busy.
      else if (e.code === 'EAGAIN') resolve(true);
      else reject(unusable({ path, flag }, e));
    });
  });
}

/** listen() binds before it returns, so the umask is ours alone meanwhile: only the owner gets in. */
export async function bindUnix(server: Server, place: SocketPlace): Promise<void> {
  const bound = listening(server, (e) => unusable(place, e));
  const umask = process.umask(0o177);
  try {
    server.listen(place.path);
  } finally {
    process.umask(umask);
  }
  await bound;
}

export function listening(server: Server, wrap: (e: unknown) => SluiceError): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (e) => reject(wrap(e)));
    server.once('listening', resolve);
  });
}

function unusable({ path, flag }: SocketPlace, e: unknown): SluiceError {
  const why = (e as NodeJS.ErrnoException).code ?? String(e);
  return new SluiceError('environment', `cannot listen on ${path}: ${why}`, {
    field: flag,
    hint: `give another --${flag}`,
    cause: e,
  });
}
