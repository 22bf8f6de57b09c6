// SPDX-License-Identifier: Apache-2.0
/** What joining and leaving a sandbox changes: the endpoint, the sandbox's files, who has the default route. */
import { type Family, familyOf } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import type { Change } from './change.js';
import { type Context, ownerOf, step } from './context.js';
import { findDriver } from './drivers/registry.js';
import { type EndpointRecord, GENERATION_KEY, type JoinRecord, type SandboxRecord } from './records.js';
import type { Row } from './rows.js';
import { planSandbox } from './sandboxes.js';
import { stageBacked } from './services/planning.js';
import type { State } from './state.js';

/** What the host says about a sandbox, asked before a change is put together. */
export interface SandboxFacts {
  readonly resolvConf: string;
  /** Links inside that are not ours. */
  readonly links: readonly string[];
}

/** `joins`: an endpoint is to join. A namespace that is gone does not keep endpoints from leaving. */
export async function lookAtSandbox(
  { host }: Context,
  sandbox: SandboxRecord,
  joins: boolean,
): Promise<SandboxFacts> {
  const { name, netns, owned } = sandbox;
  const resolvConf = await host.resolvConf();
  if (!joins || owned || sandbox.host) return { resolvConf, links: [] };
  const links = await host.linksIn(netns);
  if (links === null) {
    throw new SluiceError('conflict', `${netns}, the namespace of sandbox '${name}', is gone`, {
      field: 'sandbox',
      hint: 'remove that sandbox and create it again',
    });
  }
  return { resolvConf, links };
}

/**
 * Puts `endpoint` into `sandbox`. Answers its new record; `previous` is the
 * stored one, null if it is being created by the same change.
 */
export function addJoin(
  context: Context,
  change: Change,
  endpoint: EndpointRecord,
  previous: EndpointRecord | null,
  sandbox: SandboxRecord,
  facts: SandboxFacts,
): EndpointRecord {
  const { state } = context;
  const inside = state.inside(sandbox.id);
  checkCompany(state, endpoint, sandbox, inside);
  const record = { ...endpoint, join: takePlace(state, change, endpoint, sandbox, inside, facts) };
  const after = [...inside, record];
  change.store(`endpoints/${record.id}`, record, previous);
  change.stage(
    step(ownerOf('endpoint', record), [], planEndpoint(state, record, after, true)),
    filesStep(context, sandbox, facts, inside, after),
  );
  if (record.remote) {
    const made = planEndpoint(state, record, after, true);
    change.stage(step(ownerOf('endpoint', record), made, planEndpoint(state, record, after)));
  }
  stageBacked(state, change, record.id, previous, record);
  return record;
}

/** Takes `endpoint` out of its sandbox. `next` is its record afterwards, null if the change removes it. */
export function addLeave(
  context: Context,
  change: Change,
  endpoint: EndpointRecord,
  next: EndpointRecord | null,
  facts: SandboxFacts,
): void {
  const { state } = context;
  const join = endpoint.join as JoinRecord;
  const sandbox = state.sandboxes.of(join.sandbox);
  const inside = state.inside(sandbox.id);
  const after = inside.filter(({ id }) => id !== endpoint.id);
  change.store(`endpoints/${endpoint.id}`, next, endpoint);
  stageBacked(state, change, endpoint.id, endpoint, next);
  change.stage(
    step(ownerOf('endpoint', endpoint), planEndpoint(state, endpoint, inside), []),
    filesStep(context, sandbox, facts, inside, after),
  );
  // Only now is the place of the default routes free.
  const heirs = after.filter(
    (other) => defaultRoutes(state, other, after).length !== defaultRoutes(state, other, inside).length,
  );
  if (heirs.length > 0) {
    change.stage(
      ...heirs.map((heir) =>
        step(ownerOf('endpoint', heir), planEndpoint(state, heir, inside), planEndpoint(state, heir, after)),
      ),
    );
  }
  change.onDone(() => {
    if (join.slot !== null) state.slots.release(join.slot);
    if (join.member !== null) state.space(endpoint.network).members.release(join.member);
  });
}

/**
 * Rows of an endpoint, none while it is not joined. `inside` are all of its
 * sandbox, itself included; `joining`: it is about to be.
 */
export function planEndpoint(
  state: State,
  endpoint: EndpointRecord,
  inside: readonly EndpointRecord[],
  joining = false,
): Row[] {
  const { join } = endpoint;
  if (!join) return [];
  const network = state.networks.of(endpoint.network);
  const sandbox = state.sandboxes.of(join.sandbox);
  const routes = defaultRoutes(state, endpoint, inside);
  return findDriver(network.driver).planEndpoint({
    network,
    endpoint,
    join,
    sandbox,
    defaultRoutes: routes,
    joining,
  });
}

const FAMILIES: readonly Family[] = [4, 6];

/** The families of which it is the first endpoint to join whose network has a gateway, and a way out behind it. */
function defaultRoutes(state: State, endpoint: EndpointRecord, inside: readonly EndpointRecord[]): Family[] {
  const leadsOut = (network: string, family: Family): boolean => {
    const { internal, subnets } = state.networks.of(network);
    return !internal && subnets.some(({ gateway }) => gateway !== null && familyOf(gateway) === family);
  };
  return FAMILIES.filter(
    (family) => inside.find(({ network }) => leadsOut(network, family))?.id === endpoint.id,
  );
}

function filesStep(
  context: Context,
  sandbox: SandboxRecord,
  { resolvConf }: SandboxFacts,
  before: readonly EndpointRecord[],
  after: readonly EndpointRecord[],
) {
  return step(
    ownerOf('sandbox', sandbox),
    planSandbox(context, sandbox, resolvConf, before),
    planSandbox(context, sandbox, resolvConf, after),
  );
}

/** A sandbox is on a network once, and some networks tolerate no others beside them. */
function checkCompany(
  state: State,
  endpoint: EndpointRecord,
  sandbox: SandboxRecord,
  inside: readonly EndpointRecord[],
): void {
  const network = state.networks.of(endpoint.network);
  findDriver(network.driver).validateJoin(network, sandbox);
  const refuse = (message: string, hint: string): never => {
    throw new SluiceError('conflict', message, { field: 'sandbox', hint });
  };
  for (const other of inside) {
    const theirs = state.networks.of(other.network);
    if (theirs.id === network.id) {
      refuse(
        `sandbox '${sandbox.name}' is on network '${network.name}' already, by endpoint '${other.name}'`,
        'let that endpoint leave first',
      );
    }
    const alone = [network, theirs].find(({ driver }) => findDriver(driver).alone);
    if (alone) {
      refuse(
        `sandbox '${sandbox.name}' cannot be on '${network.name}' beside '${theirs.name}'`,
        `${alone.driver} network '${alone.name}' must be the only network of a sandbox`,
      );
    }
  }
}

function takePlace(
  state: State,
  change: Change,
  endpoint: EndpointRecord,
  sandbox: SandboxRecord,
  inside: readonly EndpointRecord[],
  facts: SandboxFacts,
): JoinRecord {
  change.mark(state.generations.mark());
  const generation = state.generations.next();
  change.storeForGood(GENERATION_KEY, state.generations.last);
  const base = { sandbox: sandbox.id, generation };
  const { addressed, dataplane } = findDriver(state.networks.of(endpoint.network).driver);
  if (!addressed) return { ...base, interface: null, slot: null, member: null };
  const taken = [...facts.links, ...inside.flatMap(({ join }) => join?.interface ?? [])];
  const name = endpoint.remote ? null : freeInterface(taken);
  if (!dataplane) return { ...base, interface: name, slot: null, member: null };
  const { members } = state.space(endpoint.network);
  change.mark(state.slots.mark());
  change.mark(members.mark());
  return {
    ...base,
    interface: name,
    slot: change.allocated(
      () => state.slots.allocate(),
      (slot) => state.slots.release(slot),
    ),
    member: change.allocated(
      () => members.allocate(),
      (member) => members.release(member),
    ),
  };
}

function freeInterface(taken: readonly string[]): string {
  for (let i = 0; ; i++) {
    const name = `eth${i}`;
    if (!taken.includes(name)) return name;
  }
}
