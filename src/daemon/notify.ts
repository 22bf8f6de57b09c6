// SPDX-License-Identifier: Apache-2.0
import { execFile } from 'node:child_process';

/**
 * Tells systemd that the daemon serves. Node has no datagram unix sockets, so
 * systemd's own tool says it in our name; without systemd there is no variable.
 */
export function notifyReady(environment: NodeJS.ProcessEnv = process.env): void {
  if (!environment.NOTIFY_SOCKET) return;
  execFile('systemd-notify', ['--ready', `--pid=${process.pid}`], () => {});
}
