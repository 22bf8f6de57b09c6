// SPDX-License-Identifier: Apache-2.0

const ARPHRD_ETHER = 1;
/** PPP, RAWIP, TUNNEL, TUNNEL6, SIT, IPGRE, NONE (tun, WireGuard): IP packets without a header before them. */
const ARPHRD_L3: ReadonlySet<number> = new Set([512, 519, 768, 769, 776, 778, 65534]);

export type Layer = 'ethernet' | 'l3';

/** Whether a device's packets carry an Ethernet header; null: it carries nothing that we could read. */
export function layerOf({ arphrd }: { readonly arphrd: number }): Layer | null {
  if (arphrd === ARPHRD_ETHER) return 'ethernet';
  return ARPHRD_L3.has(arphrd) ? 'l3' : null;
}
