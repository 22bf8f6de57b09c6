// SPDX-License-Identifier: Apache-2.0
import { untilReady } from './links.js';
import { must, run } from './process.js';
import type { Testbed } from './testbed.js';

/** A namespace of somebody else behind a bridge of the host; the host is 10.9.0.1 there. */
export const THEIRS = '10.9.0.2';

/** Runs `task` beside such a bridge, with netfilter's chains in a table of that bridge's own. */
export async function besideForeignBridge(
  bed: Testbed,
  name: string,
  chains: string,
  task: (theirs: string) => Promise<void>,
): Promise<void> {
  const theirs = bed.namespace(`${name}-${bed.suffix}`);
  must(bed.host, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
  must(bed.host, ['ip', 'link', 'add', 'nf0', 'type', 'bridge']);
  must(bed.host, ['ip', 'addr', 'add', '10.9.0.1/24', 'dev', 'nf0']);
  must(bed.host, ['ip', 'link', 'set', 'nf0', 'up']);
  bed.pair(bed.host, 'nf1', null, theirs, 'eth0', `${THEIRS}/24`);
  must(bed.host, ['ip', 'link', 'set', 'nf1', 'master', 'nf0']);
  untilReady(bed.host, 'nf0');
  must(theirs, ['ip', 'route', 'add', 'default', 'via', '10.9.0.1']);
  must(bed.host, ['nft', `table ip theirs {\n${chains}\n}`]);
  try {
    await task(theirs);
  } finally {
    run(bed.host, ['nft', 'delete', 'table', 'ip', 'theirs']);
    run(bed.host, ['ip', 'link', 'del', 'nf0']);
    run(bed.host, ['ip', 'link', 'del', 'nf1']);
  }
}
