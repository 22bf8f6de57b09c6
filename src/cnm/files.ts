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
import type { SandboxRecord } from './records.js';
import type { SandboxFilesRow } from './rows.js';

/** `hostResolvConf` is the text of the host's resolv.conf, `addresses` the sandbox's own. */
export function planFiles(
  sandbox: SandboxRecord,
  hostResolvConf: string,
  addresses: readonly string[],
): SandboxFilesRow {
  return {
    kind: 'sandbox-files',
    name: sandbox.name,
    resolvConf: resolvConf(sandbox, hostResolvConf, addresses),
    hosts: hosts(sandbox, addresses),
    hostname: `${sandbox.hostname}\n`,
  };
}

const LOCAL = ['127.0.0.0/8', '::1/128', 'fe80::/10'].map((text) => parsePrefix(text) as Prefix);

/** As Docker: what is given replaces the host's, line by line. */
function resolvConf({ dns, dnsSearch }: SandboxRecord, host: string, addresses: readonly string[]): string {
  // Every network that has addresses has IPv4.
  const families = new Set<Family>([4, ...addresses.map(familyOf)]);
  const lines = host
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([keyword = '']) => keyword !== '' && !/^[#;]/.test(keyword));
  const of = (...keywords: string[]): string[][] =>
    lines.filter(([keyword = '']) => keywords.includes(keyword));

  const servers =
    dns.length > 0
      ? dns
      : of('nameserver')
          .flatMap(([, server]) => server ?? [])
          .filter((server) => isReachable(server, families));
  // The last `search` or `domain` counts (resolv.conf(5)).
  const search = dnsSearch.length > 0 ? dnsSearch : (of('search', 'domain').at(-1)?.slice(1) ?? []);
  const options = of('options').flatMap((line) => line.slice(1));
  return [
    ...(servers.length > 0 ? [] : ['# The host names no server that a sandbox can reach; see --dns.']),
    ...servers.map((server) => `nameserver ${server}`),
    // A lone dot stands for "no search domain".
    ...(search.length > 0 && search.join() !== '.' ? [`search ${search.join(' ')}`] : []),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
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
