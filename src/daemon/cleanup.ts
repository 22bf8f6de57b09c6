// SPDX-License-Identifier: Apache-2.0
import { existsSync, readdirSync, rmdirSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../base/clock.js';
import { toSluiceError } from '../base/errors.js';
import { silentLog } from '../base/log.js';
import type { Config } from '../config/options.js';
import { Identity } from '../reconcile/identity.js';
import type { AttachApi, NetlinkApi, NetnsApi } from '../reconcile/kernel.js';
import { opsWithoutMaps } from '../reconcile/kinds.js';
import { LinkTable } from '../reconcile/links.js';
import { Reconciler } from '../reconcile/reconciler.js';
import { Tables } from '../reconcile/tables.js';
import { Locks } from './lock.js';
import { LINKS_DIR } from './places.js';

export interface CleanupKernel {
  netlink: NetlinkApi;
  netns: NetnsApi;
  attach: AttachApi;
}

/**
 * Removes what a daemon with this configuration has left in the kernel: the
 * pass of a reconciler that wants nothing. What is ours is told by pins, marks
 * and aliases, so the state is not needed for it. `say` gets a line each.
 */
export async function cleanup(
  config: Config,
  { netlink, netns, attach }: CleanupKernel,
  { state, say }: { state: boolean; say: (line: string) => void },
): Promise<void> {
  const locks = await Locks.take(config);
  try {
    const tables = new Tables();
    const links = new LinkTable(netlink);
    const identity = new Identity(config.bpffs);
    const ops = opsWithoutMaps({
      netlink,
      netns,
      attach,
      links,
      tables,
      identity,
      pins: join(config.bpffs, LINKS_DIR),
      mtu: () => 0,
      program: () => ({ id: 0 }),
      writeSysctl: async () => {},
    });
    const reconciler = new Reconciler({ ops, tables, clock: systemClock(), log: silentLog() });
    let failure: unknown = null;
    reconciler.onNotice(({ action, what, error }) => {
      if (action === 'prune') say(`removed ${what}`);
      if (action === 'error') failure ??= error;
    });
    await reconciler.fullPass();
    // Marks of what could not be removed stay, so that the next cleanup finds it.
    if (failure !== null) throw toSluiceError(failure, 'cleanup');
    removePins(config.bpffs, say);
    removeSocket(config.socket, say);
    if (state && existsSync(config.stateDir)) {
      rmSync(config.stateDir, { recursive: true });
      say(`removed state ${config.stateDir}`);
    }
  } finally {
    await locks.release();
  }
}

/** Maps and programs go with their last pin; `rm -r` semantics, which bpffs has no call for. */
function removePins(directory: string, say: (line: string) => void): void {
  if (!existsSync(directory)) return;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      removePins(path, say);
    } else {
      unlinkSync(path);
      say(`removed pin ${path}`);
    }
  }
  rmdirSync(directory);
}

function removeSocket(path: string, say: (line: string) => void): void {
  if (!existsSync(path)) return;
  unlinkSync(path);
  say(`removed socket ${path}`);
}
