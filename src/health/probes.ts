// SPDX-License-Identifier: Apache-2.0
/** Checks over the network, from the host's own addresses. */
import { get } from 'node:http';
import { connect } from 'node:net';
import { contains, type Prefix, parseAddress, parsePrefix } from '../base/addresses.js';
import type { HealthTarget } from '../cnm/types.js';

/** What would be the host itself, or nobody in particular. */
const NEVER = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/3',
  '::/127',
  'fe80::/10',
  'ff00::/8',
].map((text) => parsePrefix(text) as Prefix);

export function isBackendAddress(text: string): boolean {
  const address = parseAddress(text);
  return address !== null && !NEVER.some((prefix) => contains(prefix, address));
}

export function probe(target: HealthTarget, signal: AbortSignal): Promise<boolean> {
  if (!isBackendAddress(target.address)) return Promise.resolve(false);
  return target.check.kind === 'http' ? answers(target, signal) : opens(target, signal);
}

/** The port takes a connection. */
function opens({ address, check }: HealthTarget, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port: check.port, signal });
    const end = (well: boolean): void => {
      socket.destroy();
      resolve(well);
    };
    socket.once('connect', () => end(true));
    // Also after it has been destroyed.
    socket.on('error', () => end(false));
    socket.once('close', () => end(false));
  });
}

/** A GET is answered by a status of success or redirection, which is not followed. */
function answers({ address, check }: HealthTarget, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const request = get({
      host: address,
      port: check.port,
      path: check.path,
      agent: false,
      signal,
      headers: { 'user-agent': 'sluice-health', connection: 'close' },
    });
    request.once('response', (response) => {
      const { statusCode = 0 } = response;
      resolve(statusCode >= 200 && statusCode < 400);
      response.destroy();
    });
    request.on('error', () => resolve(false));
    request.once('close', () => resolve(false));
  });
}
