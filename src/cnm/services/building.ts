// SPDX-License-Identifier: Apache-2.0
/** What services and their backends take, and give back. */
import { SluiceError } from '../../base/errors.js';
import type { Change } from '../change.js';
import { type Context, claim, now } from '../context.js';
import { findDriver } from '../drivers/registry.js';
import type { HostSockets } from '../publishing.js';
import {
  type BackendRecord,
  type NetworkRecord,
  type SelectedRecord,
  type ServiceRecord,
  selectedKey,
} from '../records.js';
import { serviceClaims, servicePortClaim } from '../state.js';
import { chooses } from './balancing.js';
import { takePort } from './publishing.js';
import { DEFAULT_WEIGHT, type ServiceRequest } from './request.js';
import { releaseVip, takeVip } from './vips.js';

/** Allocates what a service made by command needs, and stores it. */
export function buildService(
  context: Context,
  change: Change,
  id: string,
  request: ServiceRequest,
  network: NetworkRecord,
  sockets: HostSockets,
): ServiceRecord {
  const { state } = context;
  const { name, mode, ports, algorithm, affinity, idleTimeout, allow, selector, health } = request;
  claimName(context, change, id, name);
  checkNetwork(network, mode);
  if (health !== null) checkReachable(network);
  if (request.publish.length > 0) {
    findDriver(network.driver).validateEndpoint({ network: network.id, ports: ['publish'] }, network);
  }
  change.allocated(
    () => state.setPending(id, `service '${name}'`),
    () => state.setPending(id, null),
  );
  change.onDone(() => state.setPending(id, null));
  const addressed = mode === 'vip';
  const number = addressed ? takeNumber(context, change) : null;
  const vip = addressed ? takeVip(context, change, id, network, 4, request.vip) : null;
  const vip6 = addressed ? takeVip(context, change, id, network, 6, request.vip6) : null;
  const ids = takeBackendIds(context, change, addressed ? request.backends.length : 0);
  const backends: BackendRecord[] = [];
  const named = new Set<string>();
  for (const { endpoint: ref, weight, field } of request.backends) {
    const endpoint = state.endpoints.resolve(ref, field);
    checkBackend(state, endpoint, network, field);
    if (named.has(endpoint.id)) throw twice(endpoint.name, name, field);
    named.add(endpoint.id);
    backends.push({ id: ids[backends.length] ?? null, endpoint: endpoint.id, weight });
  }
  const record: ServiceRecord = {
    id,
    name,
    network: network.id,
    mode,
    number,
    vip,
    vip6,
    ports,
    algorithm,
    affinity,
    idleTimeout,
    publish: request.publish.map((port) => takePort(context, change, id, network, port, sockets)),
    allow,
    selector,
    health,
    declaredBy: null,
    backends,
    created: now(context),
  };
  if (Object.keys(selector).length > 0) {
    change.allocated(
      () => state.balancing.addSelector(record),
      () => state.balancing.deleteSelector(record),
    );
    for (const endpoint of state.endpointsOf(network.id)) {
      if (named.has(endpoint.id) || !chooses(record, endpoint.labels)) continue;
      select(context, change, record, endpoint.id);
    }
  }
  change.store(`services/${id}`, record, null);
  return record;
}

/** Puts back all that a service holds, once the change is done. */
export function forgetService(context: Context, change: Change, record: ServiceRecord): void {
  const { state } = context;
  change.store(`services/${record.id}`, null, record);
  const selected = state.balancing.selectedBy(record.id);
  for (const own of selected) storeSelected(change, null, own);
  dropAddress(context, change, record);
  change.onDone(() => {
    for (const port of record.publish) {
      if (port.id === null) continue;
      state.ports.release(servicePortClaim(record.id, port));
      state.publishIds.release(port.id);
    }
    state.services.delete(record);
    state.balancing.deleteSelector(record);
    for (const text of serviceClaims(record)) state.claims.delete(text);
    for (const own of selected) state.balancing.deselect(own);
    for (const backend of [...record.backends, ...selected]) releaseBackend(context, record.id, backend);
  });
}

/** Frees its address and number, once the change is done. */
export function dropAddress(
  context: Context,
  change: Change,
  { network: networkId, vip, vip6, number }: ServiceRecord,
): void {
  const { state } = context;
  const network = networkId === null ? undefined : state.networks.get(networkId);
  for (const text of [vip, vip6]) if (network && text !== null) releaseVip(context, change, network, text);
  if (number !== null) change.onDone(() => state.serviceNumbers.release(number));
}

/** An endpoint that is being created becomes a backend of the services that choose it. */
export function selectEndpoint(
  context: Context,
  change: Change,
  {
    id,
    network,
    labels,
  }: { readonly id: string; readonly network: string; readonly labels: Record<string, string> },
): void {
  for (const service of context.state.balancing.choosing(network, labels))
    select(context, change, service, id);
}

/** What selectors made of an endpoint goes with it. */
export function deselectEndpoint(context: Context, change: Change, endpoint: string): void {
  const { balancing } = context.state;
  const selected = balancing.selectionsOf(endpoint);
  for (const own of selected) storeSelected(change, null, own);
  change.onDone(() => {
    for (const own of selected) {
      balancing.deselect(own);
      releaseBackend(context, own.service, own);
    }
  });
}

function select(context: Context, change: Change, service: ServiceRecord, endpoint: string): void {
  const { balancing } = context.state;
  const record: SelectedRecord = {
    service: service.id,
    endpoint,
    id: takeBackendId(context, change, service.mode === 'vip'),
    weight: DEFAULT_WEIGHT,
  };
  storeSelected(change, record, null);
  change.allocated(
    () => balancing.select(record),
    () => balancing.deselect(record),
  );
}

export function storeSelected(
  change: Change,
  next: SelectedRecord | null,
  previous: SelectedRecord | null,
): void {
  change.store(selectedKey((next ?? previous) as SelectedRecord), next, previous);
}

export function claimName(context: Context, change: Change, id: string, name: string): void {
  claim(context, change, serviceClaims({ name }), id, () => {
    return new SluiceError('conflict', `a service '${name}' exists already`, {
      field: 'name',
      hint: 'choose another name, or remove that service',
    });
  });
}

export function takeNumber({ state }: Context, change: Change): number {
  change.mark(state.serviceNumbers.mark());
  return change.allocated(
    () => state.serviceNumbers.allocate(),
    (number) => state.serviceNumbers.release(number),
  );
}

/** `balanced`: the dataplane leads to it. */
export function takeBackendId(context: Context, change: Change, balanced: boolean): number | null {
  return takeBackendIds(context, change, balanced ? 1 : 0)[0] ?? null;
}

/** All of a service in one go: there may be a hundred thousand in one request. */
function takeBackendIds({ state }: Context, change: Change, count: number): number[] {
  if (count === 0) return [];
  change.mark(state.backendIds.mark());
  const ids: number[] = [];
  change.allocated(
    () => undefined,
    () => {
      for (const id of ids) state.backendIds.release(id);
    },
  );
  for (let i = 0; i < count; i++) ids.push(state.backendIds.allocate());
  return ids;
}

export function releaseBackend(
  { state }: Context,
  service: string,
  { id, endpoint }: Pick<BackendRecord, 'id' | 'endpoint'>,
): void {
  if (id !== null) state.backendIds.release(id);
  if (endpoint !== null) state.balancing.setHealth(service, endpoint, null);
}

/** Throws where the network cannot have a service of this mode. */
export function checkNetwork({ name, driver }: NetworkRecord, mode: ServiceRecord['mode']): void {
  const { addressed, dataplane } = findDriver(driver);
  if (mode === 'vip' ? dataplane : addressed) return;
  throw new SluiceError(
    'invalid_argument',
    mode === 'vip'
      ? `network '${name}' is of driver ${driver}, where no service can have an address`
      : `network '${name}' is of driver ${driver}, whose endpoints have no addresses`,
    {
      field: 'network',
      hint: mode === 'vip' && addressed ? 'use a bridge network, or mode dnsrr' : 'use a bridge network',
    },
  );
}

/** Checks come from the host, which reaches no container of a link that it shares with them. */
function checkReachable({ name, driver }: NetworkRecord): void {
  if (findDriver(driver).dataplane) return;
  throw new SluiceError('invalid_argument', `this host reaches no endpoint of ${driver} network '${name}'`, {
    field: 'health',
    hint: 'leave the check out, or use a bridge network',
  });
}

export function checkBackend(
  state: Context['state'],
  endpoint: { readonly name: string; readonly network: string },
  network: NetworkRecord,
  field: string,
): void {
  if (endpoint.network === network.id) return;
  const other = state.networks.of(endpoint.network).name;
  throw new SluiceError(
    'invalid_argument',
    `endpoint '${endpoint.name}' is on network '${other}', the service on '${network.name}'`,
    { field, hint: "a service's backends are on its network" },
  );
}

export function twice(endpoint: string, service: string, field: string): SluiceError {
  return new SluiceError('conflict', `endpoint '${endpoint}' is a backend of service '${service}' already`, {
    field,
    hint: 'name each backend once; set-backend changes its weight',
  });
}
