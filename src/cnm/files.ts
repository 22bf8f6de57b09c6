// SPDX-License-Identifier: Apache-2.0
/** What the resolver library reads in a sandbox. */
import {
  contains,
  type Family,
  familyOf,
  type Prefix,
  parseAddress,
  parsePrefix,
} from '../base/addresses.js';
import { parseResolvConf } from '../base/resolv-conf.js';
import type { SandboxRecord } from './records.js';
import type { SandboxFilesRow } from './rows.js';

/** What a sandbox's network gives it to ask. */
export interface ResolverFacts {
  /** Ours is at 127.0.0.11 inside. */
  readonly resolver: boolean;
  /** It is on internal networks alone. */
  readonly internal: boolean;
}

/** `hostResolvConf` is the text of the host's resolv.conf, `addresses` the sandbox's own. */
export function planFiles(
  sandbox: SandboxRecord,
  hostResolvConf: string,
  addresses: readonly string[],
  facts: ResolverFacts,
): SandboxFilesRow {
  return {
    kind: 'sandbox-files',
    name: sandbox.name,
    resolvConf: resolvConf(sandbox, hostResolvConf, addresses, facts),
    hosts: hosts(sandbox, addresses),
    hostname: `${sandbox.hostname}\n`,
  };
}

const RESOLVER = '127.0.0.11';
const LOCAL = ['127.0.0.0/8', '::1/128', 'fe80::/10'].map((text) => parsePrefix(text) as Prefix);

/**
 * As Docker: what is given replaces the host's, line by line. The others come
 * after our resolver, which asks them too: a library asks them itself while the
 * daemon is dead. Not those of the host where no network leads to them.
 */
function resolvConf(
  { dns, dnsSearch }: SandboxRecord,
  text: string,
  addresses: readonly string[],
  { resolver, internal }: ResolverFacts,
): string {
  // Every network that has addresses has IPv4.
  const families = new Set<Family>([4, ...addresses.map(familyOf)]);
  const host = parseResolvConf(text);
  const others =
    dns.length > 0
      ? dns
      : resolver && internal
        ? []
        : host.servers.filter((server) => isReachable(server, families));
  const servers = [...(resolver ? [RESOLVER] : []), ...others];
  const search = dnsSearch.length > 0 ? dnsSearch : host.search;
  return [
    ...(servers.length > 0 ? [] : ['# The host names no server that a sandbox can reach; see --dns.']),
    ...servers.map((server) => `nameserver ${server}`),
    // A lone dot stands for "no search domain".
    ...(search.length > 0 && search.join() !== '.' ? [`search ${search.join(' ')}`] : []),
    ...(host.options.length > 0 ? [`options ${host.options.join(' ')}`] : []),
    '',
  ].join('\n');
}

/** Not a server on the host's loopback or one of its links, nor of a family that the sandbox does not have. */
function isReachable(server: string, families: ReadonlySet<Family>): boolean {
  const address = parseAddress(server);
  return address !== null && families.has(address.family) && !LOCAL.some((range) => contains(range, address));
}

function hosts({ name, hostname }: SandboxRecord, addresses: readonly string[]): string {
  const own = [...new Set([hostname, name])].join(' ');
  return [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    ...addresses.map((address) => `${address}\t${own}`),
    '',
  ].join('\n');
}
