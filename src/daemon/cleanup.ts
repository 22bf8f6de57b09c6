// SPDX-License-Identifier: Apache-2.0
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../base/clock.js';
import { silentLog } from '../base/log.js';
import { removeDead } from '../base/unix-socket.js';
import type { Config } from '../config/options.js';
import { Netlink } from '../link/netlink.js';
import { Netns } from '../link/netns.js';
import { Attacher } from '../loader/attach.js';
import { releaseBpffs } from '../loader/bpffs.js';
import { probeKernel } from '../loader/features.js';
import { bpfNative } from '../native/bpf.js';
import { netNative } from '../native/net.js';
import { Identity, MARK_KINDS } from '../reconcile/identity.js';
import { opsWithoutMaps } from '../reconcile/kinds.js';
import { LinkTable } from '../reconcile/links.js';
import { Reconciler } from '../reconcile/reconciler.js';
import { RESERVED_PORTS, ReservedPorts } from '../reconcile/reserved-ports.js';
import { Tables } from '../reconcile/tables.js';
import { checkCapabilities } from './checks.js';
import { Locks } from './lock.js';
import { LINKS_DIR, MAPS_DIR, RESERVED_FILE } from './places.js';
import { sysctls } from './sysctls.js';

/**
 * Removes what a daemon with this configuration has left in the kernel: the
 * pass of a reconciler that wants nothing. What is ours is told by pins, marks
 * and aliases, so the state is not needed for it. `say` gets a line each.
 */
export async function cleanup(
  config: Config,
  { state, say }: { state: boolean; say: (line: string) => void },
): Promise<void> {
  checkCapabilities();
  const { tcx } = await probeKernel({ without: config.without });
  const locks = await Locks.take(config);
  const net = netNative();
  const netlink = await Netlink.open(net);
  let removed = 0;
  const tell = (what: string): void => {
    removed++;
    say(`removed ${what}`);
  };
  try {
    const attach = new Attacher(bpfNative(), { tcx, qdiscs: netlink });
    await removeLinks(config, netlink, new Netns(net), attach, tell);
    await giveBackPorts(config, tell);
    await releaseBpffs(config.bpffs, [LINKS_DIR, MAPS_DIR, ...MARK_KINDS], tell);
    for (const path of [config.socket, config.dockerPlugin]) {
      if (path !== null && (await removeDead({ path, flag: 'socket' }))) tell(`socket ${path}`);
    }
    if (state && existsSync(config.stateDir)) {
      rmSync(config.stateDir, { recursive: true });
      tell(`state ${config.stateDir}`);
    }
    if (removed === 0) say('nothing to remove');
  } finally {
    netlink.close();
    await locks.release();
  }
}

/** After the hooks: a port that no hook guards may be picked again. */
async function giveBackPorts(config: Config, tell: (what: string) => void): Promise<void> {
  const reserved = new ReservedPorts({
    sysctls,
    file: join(config.stateDir, RESERVED_FILE),
    rows: () => [],
    log: silentLog(),
  });
  const ports = await reserved.restore();
  if (ports !== '') tell(`${ports} from ${RESERVED_PORTS}`);
}

async function removeLinks(
  config: Config,
  netlink: Netlink,
  netns: Netns,
  attach: Attacher,
  tell: (what: string) => void,
): Promise<void> {
  const tables = new Tables();
  const ops = opsWithoutMaps({
    netlink,
    netns,
    attach,
    guards: { put: async () => {} },
    links: new LinkTable(netlink),
    tables,
    identity: new Identity(config.bpffs),
    pins: join(config.bpffs, LINKS_DIR),
    mtu: () => 0,
    // whatever the host has now, it may have had both
    ipv6: true,
    programs: { loaded: () => undefined, load: () => Promise.reject(new Error('nothing is attached')) },
    sockets: {
      cgroup: null,
      socketProgram: () => {
        throw new Error('nothing is attached');
      },
    },
    announcements: { tell: async () => {} },
    writeSysctl: async () => {},
  });
  const reconciler = new Reconciler({ ops, tables, clock: systemClock(), log: silentLog() });
  let failure: unknown = null;
  reconciler.onNotice(({ action, what, error }) => {
    if (action === 'prune') tell(what);
    if (action === 'error') failure ??= error;
  });
  await reconciler.fullPass();
  // The marks of what could not be removed stay, so that the next cleanup finds it.
  if (failure !== null) throw failure;
}
