// SPDX-License-Identifier: Apache-2.0
/** TCP is for callers with a certificate of ours, and not for browsers that somebody else's page drives. */
import { X509Certificate } from 'node:crypto';
import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { createSecureContext, type TlsOptions } from 'node:tls';
import { SluiceError } from '../base/errors.js';

export interface TlsAddress {
  readonly host: string;
  readonly port: number;
  /** Files. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Whether a request may go on; where not, it has been answered. */
export type Guard = (req: IncomingMessage, res: ServerResponse) => boolean;

export interface MutualTls {
  readonly options: TlsOptions;
  readonly guard: Guard;
}

export function mutualTls(address: TlsAddress): MutualTls {
  const files = { cert: read('cert', address), key: read('key', address), ca: read('ca', address) };
  try {
    new X509Certificate(files.ca);
    createSecureContext(files);
    return {
      options: { ...files, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.3' },
      guard: guardFor(address, new X509Certificate(files.cert)),
    };
  } catch (e) {
    const why = e instanceof Error ? e.message : String(e);
    throw new SluiceError('environment', `the certificates cannot be used: ${why}`, {
      field: 'tls-cert',
      hint: 'give PEM files of --tls-cert, its --tls-key, and the --tls-ca of the clients',
      cause: e,
    });
  }
}

/** Milliseconds between two looks at the files. */
const FILES_INTERVAL = 1000;

/**
 * Tells of the files' contents whenever they have changed and fit together. Files
 * are replaced one after the other: until the last one is there, `renewed` hears
 * nothing and `unusable` may. Answers how to stop.
 */
export function followFiles(
  address: TlsAddress,
  renewed: (tls: MutualTls) => void,
  unusable: (error: unknown) => void,
): () => void {
  const files = [address.cert, address.key, address.ca];
  const look = (): void => {
    let tls: MutualTls;
    try {
      tls = mutualTls(address);
    } catch (e) {
      unusable(e);
      return;
    }
    renewed(tls);
  };
  for (const file of files) watchFile(file, { interval: FILES_INTERVAL, persistent: false }, look);
  return () => {
    for (const file of files) unwatchFile(file, look);
  };
}

/** Refuses where Host is not ours (DNS rebinding), or a browser speaks (Origin). */
function guardFor({ host }: TlsAddress, certificate: X509Certificate): Guard {
  const isOurs = (name: string): boolean =>
    name === host || (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;

  return (req, res) => {
    const authority = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(req.headers.host ?? '');
    const name = authority?.[1] ?? authority?.[2];
    const port = Number(authority?.[3] ?? 443);
    if (name === undefined || port !== req.socket.localPort || !isOurs(name)) {
      return refuse(
        res,
        `the Host header '${req.headers.host ?? ''}' does not name this server`,
        'use a name or address of its certificate',
      );
    }
    if (req.headers.origin !== undefined) {
      return refuse(res, 'requests of web pages are refused', 'send no Origin header');
    }
    return true;
  };
}

function refuse(res: ServerResponse, message: string, hint: string): false {
  const error = new SluiceError('forbidden', message, { hint });
  res.writeHead(error.status, { 'content-type': 'application/json; charset=utf-8', connection: 'close' });
  res.end(JSON.stringify(error));
  return false;
}

function read(what: 'cert' | 'key' | 'ca', address: TlsAddress): Buffer {
  const field = `tls-${what}`;
  const path = address[what];
  if (!path) {
    throw new SluiceError(
      'invalid_argument',
      `TCP is served with mutual TLS only, and --${field} is missing`,
      {
        field,
        hint: 'give --tls-cert, --tls-key and --tls-ca with --listen',
      },
    );
  }
  try {
    return readFileSync(path);
  } catch (e) {
    throw new SluiceError(
      'environment',
      `cannot read ${path}: ${(e as NodeJS.ErrnoException).code ?? String(e)}`,
      {
        field,
        hint: 'give a readable file',
        cause: e,
      },
    );
  }
}
