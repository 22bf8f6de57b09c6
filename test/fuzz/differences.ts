// SPDX-License-Identifier: Apache-2.0
/**
 * Where Sluice does something else than netfilter, and why. Each entry says
 * exactly what comes out on either side, and has a script that shows it:
 * differential.test.ts fails where that is not so any more.
 */
import { EXTENSION, type Family } from '../support/craft.js';
import type { Outcome } from '../support/play.js';
import { addresses, type Station } from '../support/reference.js';
import { ACK, FIN, type Flow, RST, type Script, type Step, SYN } from '../support/script.js';

export interface Case {
  family: Family;
  flow: Flow;
  step: Step;
  /** What the flow has sent before. */
  before: readonly Step[];
  sluice: Outcome;
  netfilter: Outcome;
}

export interface Difference {
  readonly name: string;
  readonly reason: string;
  /** IPv4 has it too, or IPv6, unless this says which alone. */
  readonly family?: Family;
  readonly example: (family: Family) => Script;
  applies(c: Case): boolean;
}

const receiver = ({ flow, step }: Case): Station | null =>
  step.from === 'client' ? flow.server : flow.client;
const sender = ({ flow, step }: Case): Station | null => (step.from === 'client' ? flow.client : flow.server);

const silent = (o: Outcome, ...reasons: string[]): boolean =>
  o.out.length === 0 && o.remarks.dropped.join() === reasons.join();
/** One packet, to this station, that says so and whose checksums are right. */
function only(o: Outcome, to: Station | null, says: RegExp): boolean {
  const [line = ''] = o.out;
  return (
    o.out.length === 1 && to !== null && line.startsWith(`${to}: `) && says.test(line) && !/WRONG/.test(line)
  );
}

const REFUSED = {
  4: /tcp .* flags (4|20) .* id new|type 3 code 3 .* id new/,
  6: /tcp .* flags (4|20) .* id new|type 1 code 4 .* id new/,
};
const EXCEEDED = { 4: /type 11 code 0 .* id new/, 6: /type 3 code 0 .* id new/ };
/** A host says that it does not listen there. */
const refused = (c: Case, o: Outcome): boolean => only(o, sender(c), REFUSED[c.family]);
const exceeded = (c: Case, o: Outcome): boolean => only(o, sender(c), EXCEEDED[c.family]);
/** In the name of the network's gateway. */
const exceededAtGateway = (c: Case, o: Outcome): boolean =>
  exceeded(c, o) && o.out.join().includes(`icmp ${addresses(c.family).gateway} > `);

/** A reset before anything came back, or as the first that did. What came before the flow opened does not count. */
function unansweredReset(before: readonly Step[]): boolean {
  const opened = before.findIndex((s) => s.from === 'client');
  const own = opened < 0 ? [] : before.slice(opened);
  const at = own.findIndex((s) => ((s.flags ?? 0) & RST) !== 0);
  return at >= 0 && own.slice(0, at).every((s) => s.from === 'client');
}

/** To netfilter this is the first of a flow the other way, from the port that the server itself knows. */
function opensBack(c: Case): boolean {
  const from = (port: number): RegExp => new RegExp(`tcp [^ ]+:${port} > .* id kept`);
  return (
    c.step.from === 'server' &&
    c.flow.dport !== c.flow.serverPort &&
    only(c.sluice, receiver(c), from(c.flow.dport)) &&
    only(c.netfilter, receiver(c), from(c.flow.serverPort))
  );
}

const withoutOptions = (o: Outcome): string =>
  o.out.map((l) => l.replace(/options [0-9a-f]+/, '')).join('\n');

const withoutExtensions = (o: Outcome): string =>
  o.out.map((l) => l.replace(/, extensions [0-9a-f]+/, '')).join('\n');

const withoutSource = (o: Outcome): string => o.out.map((l) => l.replace(/icmp [^ ]+ >/, '')).join('\n');

/** Flows between stations; `target` is filled in for the family. */
type Sketch = Omit<Flow, 'target'> & { to?: Station };
const MASQUERADE: Sketch = {
  kind: 'masquerade',
  protocol: 'udp',
  client: 'one',
  server: 'ext1',
  to: 'ext1',
  sport: 5000,
  dport: 53,
  serverPort: 53,
};
const MASQUERADE_TCP: Sketch = { ...MASQUERADE, protocol: 'tcp', dport: 80, serverPort: 80 };
/** To the host's own address. */
const PUBLISHED: Sketch = {
  kind: 'published',
  protocol: 'tcp',
  client: 'ext1',
  server: 'one',
  sport: 5001,
  dport: 8080,
  serverPort: 80,
};
const PLAIN: Step = {
  flow: 0,
  from: 'client',
  what: 'packet',
  length: 8,
  ttl: 64,
  tos: 0,
  flags: SYN,
  seq: 1,
  ack: 0,
};

function example({ to, ...flow }: Sketch, ...steps: Partial<Step>[]): (family: Family) => Script {
  return (family) => {
    const a = addresses(family);
    const target = to ? a.station[to] : a.host;
    return { family, flows: [{ ...flow, target }], steps: steps.map((s) => ({ ...PLAIN, ...s })) };
  };
}

export const DIFFERENCES: readonly Difference[] = [
  {
    name: 'direct',
    reason: "a container's own address is not reachable from outside; netfilter forwards unless told not to",
    example: example({ ...PUBLISHED, kind: 'direct', to: 'one', dport: 80 }, {}),
    applies: (c) =>
      c.flow.kind === 'direct' && c.step.from === 'client' && silent(c.sluice, 'direct_routing'),
  },
  {
    name: 'tcp-state',
    reason:
      "flags that fit no state of a connection are the ends' own business; netfilter calls them INVALID",
    example: example(PUBLISHED, {}, { flags: 0, seq: 2 }),
    applies: (c) =>
      c.flow.protocol === 'tcp' &&
      c.netfilter.remarks.invalid &&
      (c.netfilter.out.length === 0 || refused(c, c.netfilter)) &&
      (only(c.sluice, receiver(c), /tcp .* id kept/) || (c.step.ttl === 1 && exceeded(c, c.sluice))),
  },
  {
    name: 'tcp-reset',
    reason:
      'a reset only marks a connection, so that a forged one costs nothing; netfilter forgets one that was never answered',
    example: example(
      MASQUERADE_TCP,
      {},
      { flags: RST, seq: 2 },
      { from: 'server', flags: SYN | ACK, ack: 2 },
    ),
    applies: (c) =>
      c.flow.protocol === 'tcp' &&
      unansweredReset(c.before) &&
      only(c.sluice, receiver(c), /tcp .* id kept/) &&
      (refused(c, c.netfilter) || c.netfilter.out.length === 0 || opensBack(c)),
  },
  {
    name: 'tcp-backwards',
    reason:
      'who was connected to may open a connection back between the same ports of a closed one, and keeps its translation; to netfilter it is a new flow',
    example: example(
      PUBLISHED,
      {},
      { from: 'server', flags: SYN | ACK, seq: 9, ack: 2 },
      { from: 'server', flags: FIN | ACK, seq: 10, ack: 2 },
      { flags: FIN | ACK, seq: 2, ack: 11 },
      { flags: ACK, seq: 3, ack: 11 },
      { from: 'server', flags: SYN, seq: 10 },
    ),
    applies: (c) =>
      c.flow.protocol === 'tcp' &&
      c.step.from === 'server' &&
      c.step.flags === SYN &&
      c.before.some((s) => ((s.flags ?? 0) & (FIN | RST)) !== 0) &&
      only(c.sluice, receiver(c), /tcp .* id kept/) &&
      only(c.netfilter, receiver(c), /tcp .* id kept/),
  },
  {
    name: 'error-after-reset',
    reason:
      'a reset only marks a connection, so an error about it still finds its way; netfilter has forgotten it',
    example: (family) =>
      example(
        PUBLISHED,
        {},
        { from: 'server', flags: RST | ACK, ack: 2 },
        { from: 'server', what: 'error', icmp: family === 4 ? [11, 0] : [3, 0] },
      )(family),
    applies: (c) =>
      c.flow.protocol === 'tcp' &&
      c.step.what === 'error' &&
      c.before.some((s) => ((s.flags ?? 0) & RST) !== 0) &&
      c.netfilter.out.length === 0 &&
      only(c.sluice, receiver(c), /icmp .* about .* id kept/),
  },
  {
    name: 'ttl-hairpin',
    reason:
      'time exceeded comes from the gateway of the network; netfilter sends it from the address that was asked for',
    example: example({ ...PUBLISHED, kind: 'hairpin', client: 'two' }, { ttl: 1 }),
    applies: (c) =>
      c.step.ttl === 1 &&
      c.flow.kind === 'hairpin' &&
      exceededAtGateway(c, c.sluice) &&
      exceeded(c, c.netfilter) &&
      withoutSource(c.sluice) === withoutSource(c.netfilter),
  },
  {
    name: 'ttl-source',
    reason:
      'time exceeded comes from the gateway; where both ends of a flow are translated netfilter rewrites its source too',
    // the container's own flow has the port that the client comes from, so the client gets another
    example: example(
      { ...PUBLISHED, protocol: 'udp', dport: 5300, serverPort: 53 },
      { from: 'server' },
      {},
      { from: 'server', ttl: 1 },
    ),
    applies: (c) =>
      c.step.ttl === 1 &&
      c.step.from === 'server' &&
      exceededAtGateway(c, c.sluice) &&
      exceeded(c, c.netfilter) &&
      withoutSource(c.sluice) === withoutSource(c.netfilter),
  },
  {
    name: 'ttl-fragments',
    reason:
      "fragments to the host's address whose hop count ends there are the host's, which finds the port closed; netfilter says time exceeded",
    example: example(
      { ...PUBLISHED, protocol: 'udp', dport: 5300, serverPort: 53 },
      { what: 'fragments', length: 900, df: false, ttl: 1 },
    ),
    applies: (c) =>
      c.step.what === 'fragments' &&
      c.step.ttl === 1 &&
      exceeded(c, c.netfilter) &&
      (c.sluice.out.length === 0 || refused(c, c.sluice)),
  },
  {
    name: 'route-options',
    family: 4,
    reason: 'IP options travel as they are; the stack behind netfilter writes its address into Record Route',
    example: example(MASQUERADE, { options: '070b0400000000000000000000000000' }),
    applies: (c) =>
      c.step.options?.startsWith('07') === true &&
      c.sluice.out.length === 1 &&
      withoutOptions(c.sluice) === withoutOptions(c.netfilter),
  },
  {
    name: 'atomic-fragment',
    family: 6,
    reason:
      'a fragment header that makes no fragment travels as it is; netfilter puts the one fragment together, without it',
    example: example(MASQUERADE, { extensions: [[EXTENSION.fragment, '000000000007']] }),
    applies: (c) =>
      c.step.extensions?.some(([type]) => type === EXTENSION.fragment) === true &&
      c.sluice.out.length === 1 &&
      withoutExtensions(c.sluice) === withoutExtensions(c.netfilter),
  },
];
