// SPDX-License-Identifier: Apache-2.0
/**
 * Links that are ready when a test begins. Until the kernel has noticed the
 * carrier, a link loses what is sent without a word; and as long as an address
 * is tentative, nothing is sent from it: a router without another address of
 * the link's cannot ask for its next hop, and the packet is lost.
 */
import { json, must, run } from './process.js';

interface Shown {
  operstate: string;
  addr_info: { family: string; scope: string; tentative?: boolean }[];
}

/** Duplicates are not looked for on this link, which takes a second or two; before it is up. */
export function withoutDad(netns: string, link: string): void {
  // -e: there is no such setting where the kernel has no IPv6
  must(netns, ['sysctl', '-eqw', `net.ipv6.conf.${link}.accept_dad=0`]);
}

function isReady(netns: string, link: string): boolean {
  const [shown] = json<Shown[]>(netns, ['ip', '-j', 'addr', 'show', 'dev', link]);
  if (shown?.operstate !== 'UP') return false;
  const addresses = shown.addr_info.filter(({ family }) => family === 'inet6');
  if (addresses.some(({ tentative }) => tentative)) return false;
  // the kernel gives it one of its own when it has noticed the carrier, and has no other sign that it will
  if (addresses.some(({ scope }) => scope === 'link')) return true;
  return run(netns, ['sysctl', '-en', `net.ipv6.conf.${link}.disable_ipv6`]).out.trim() !== '0';
}

/** Waits, for milliseconds where duplicates are not looked for. */
export function untilReady(netns: string, ...links: string[]): void {
  const end = Date.now() + 20_000;
  const clock = new Int32Array(new SharedArrayBuffer(4));
  for (const link of links)
    while (!isReady(netns, link)) {
      if (Date.now() > end) throw new Error(`not ready: ${must(netns, ['ip', 'addr', 'show', 'dev', link])}`);
      Atomics.wait(clock, 0, 0, 10);
    }
}
