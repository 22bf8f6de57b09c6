// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { silentLog } from '../../../src/base/log.js';
import { HostAddresses, type HostAddressesOptions } from '../../../src/reconcile/host-addresses.js';

const LOST = '2001:db8::1';
const KEPT = '2001:db8::2';

/** The addresses whose flows have been ended, in turn; `own`: what the routing table says is the host's. */
function host(own: Set<string>, end?: HostAddressesOptions['end']) {
  const ended: string[] = [];
  const addresses = new HostAddresses({
    tables: { rows: function* () {} },
    known: [LOST, KEPT],
    isOwn: async (address) => own.has(address),
    setPresent: () => {},
    end:
      end ??
      (async (ends) => {
        const under = (saddr: string) =>
          ends({ key: { daddr: 'x', dport: 1, protocol: 6 }, flow: { saddr, sport: 1, service: false } });
        ended.push(...[LOST, KEPT].filter(under));
        return 1;
      }),
    log: silentLog(),
  });
  const settled = async (): Promise<string[]> => {
    addresses.endFlows();
    await addresses.stop();
    return ended.splice(0);
  };
  return { addresses, settled };
}

it('ends what is under an address once, when it is gone', async () => {
  const { addresses, settled } = host(new Set([KEPT]));
  await addresses.have(new Set([KEPT]));
  expect(await settled()).toEqual([LOST]);
  expect(await settled()).toEqual([]);
});

it('waits for the route of an address whose removal is told before the route is gone', async () => {
  const own = new Set([LOST, KEPT]);
  const { addresses, settled } = host(own);
  await addresses.have(new Set([KEPT]));
  expect(await settled()).toEqual([]);
  own.delete(LOST);
  await addresses.have(new Set([KEPT]));
  expect(await settled()).toEqual([LOST]);
});

it('ends nothing under an address that is back by then', async () => {
  const own = new Set([LOST, KEPT]);
  const { addresses, settled } = host(own);
  await addresses.have(new Set([KEPT]));
  await settled();
  await addresses.have(new Set([LOST, KEPT]));
  own.delete(LOST);
  expect(await settled()).toEqual([]);
});

it('tries again after a failure', async () => {
  let calls = 0;
  const { addresses, settled } = host(new Set([KEPT]), async () => {
    if (calls++ === 0) throw new Error('no');
    return 0;
  });
  await addresses.have(new Set([KEPT]));
  await settled();
  await settled();
  await settled();
  expect(calls).toBe(2);
});
