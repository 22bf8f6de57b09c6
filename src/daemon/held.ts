// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '../reconcile/files.js';
import type { Identity } from '../reconcile/identity.js';
import type { NetlinkApi } from '../reconcile/kernel.js';
import { LINKS_DIR, MAPS_DIR } from './places.js';

/** What is in the kernel of a daemon with this place for pins, in words. */
export async function heldByKernel(
  bpffs: string,
  identity: Identity,
  netlink: Pick<NetlinkApi, 'links'>,
): Promise<string[]> {
  const links = (await netlink.links()).filter((link) => identity.owns(link));
  return [
    ...links.map(({ name }) => `link ${name}`),
    ...identity.marked('netns').map((path) => `namespace ${path}`),
    ...identity.marked('macvlan').map((name) => `macvlan ${name}`),
    ...[LINKS_DIR, MAPS_DIR].flatMap((directory) =>
      names(join(bpffs, directory)).map((name) => `pin ${join(bpffs, directory, name)}`),
    ),
  ];
}

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (e) {
    if (isErrno(e, 'ENOENT')) return [];
    throw e;
  }
}
