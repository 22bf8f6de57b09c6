// SPDX-License-Identifier: Apache-2.0
/** TCP is for callers with a certificate of ours, and not for browsers that somebody else's page drives. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { TlsOptions } from 'node:tls';
import { SluiceError } from '../base/errors.js';

export interface TlsAddress {
  readonly host: string;
  readonly port: number;
  /** Files. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

export function tlsOptions({ cert, key, ca }: TlsAddress): TlsOptions {
  for (const [flag, path] of Object.entries({ cert, key, ca })) {
    if (path) continue;
    throw new SluiceError(
      'invalid_argument',
      `TCP is served with mutual TLS only, and --tls-${flag} is missing`,
      {
        field: `tls-${flag}`,
        hint: 'give --tls-cert, --tls-key and --tls-ca with --listen',
      },
    );
  }
  return {
    cert: read('cert', cert),
    key: read('key', key),
    ca: read('ca', ca),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.3',
  };
}

/** Answers false, and the caller 403, where Host is not ours (DNS rebinding) or a browser speaks (Origin). */
export function tlsGuard({ host, cert }: TlsAddress): (req: IncomingMessage, res: ServerResponse) => boolean {
  const certificate = new X509Certificate(read('cert', cert));
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

function read(flag: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (e) {
    throw new SluiceError(
      'environment',
      `cannot read ${path}: ${(e as NodeJS.ErrnoException).code ?? String(e)}`,
      {
        field: `tls-${flag}`,
        hint: 'give a readable file',
        cause: e,
      },
    );
  }
}
