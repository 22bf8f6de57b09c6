// SPDX-License-Identifier: Apache-2.0
/** Operations on sandboxes. */
import { isAbsolute } from 'node:path';
import { parseAddress } from '../base/addresses.js';
import { SluiceError } from '../base/errors.js';
import { newId } from '../base/ids.js';
import { checkHostname, checkName, isDomain, isHostname } from '../base/names.js';
import { type Context, claim, gone, makeChange, now, ownerOf, step } from './context.js';
import { planFiles } from './files.js';
import type { EndpointRecord, SandboxRecord } from './records.js';
import type { Row } from './rows.js';
import { sandboxClaims } from './state.js';
import type { Plan, Sandbox, SandboxCreate } from './types.js';
import { sandboxView } from './views.js';

/** Where `ip netns` looks. */
export const NETNS_DIR = '/run/netns';

export class Sandboxes {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async create(request: SandboxCreate, dryRun: boolean): Promise<Sandbox | Plan> {
    const { state, emit } = this.#context;
    const { name, dns = [], dnsSearch = [] } = request;
    checkName(name);
    checkResolver(dns, dnsSearch);
    if (request.hostname !== undefined) checkHostname(request.hostname, 'hostname');
    const { netns, host } = await this.#namespace(request);
    const resolvConf = await this.#context.host.resolvConf();

    return makeChange(this.#context, `sandbox '${name}' could not be created`, dryRun, (change) => {
      const id = newId();
      claim(this.#context, change, sandboxClaims({ name, netns }), id, (text, holder) =>
        taken(text, name, state.sandboxes.get(holder)?.name),
      );
      change.mark(state.sandboxNumbers.mark());
      const number = change.allocated(
        () => state.sandboxNumbers.allocate(),
        (given) => state.sandboxNumbers.release(given),
      );
      const record: SandboxRecord = {
        id,
        name,
        netns,
        owned: request.netns === undefined,
        host,
        dns: [...dns],
        dnsSearch: [...dnsSearch],
        hostname: request.hostname ?? (isHostname(name) ? name : id.slice(0, 12)),
        number,
        created: now(this.#context),
      };
      change.store(`sandboxes/${id}`, record, null);
      change.stage(step(ownerOf('sandbox', record), [], planSandbox(this.#context, record, resolvConf, [])));
      change.onDone(() => state.sandboxes.set(record));
      return () => {
        emit('sandbox', 'create', record);
        return sandboxView(state, record);
      };
    });
  }

  list(): Sandbox[] {
    const { state } = this.#context;
    return state.sandboxes.all().map((record) => sandboxView(state, record));
  }

  get(ref: string): Sandbox {
    const { state } = this.#context;
    return sandboxView(state, state.sandboxes.resolve(ref));
  }

  async remove(ref: string, dryRun: boolean): Promise<void | Plan> {
    const { state, locks, host, emit } = this.#context;
    const { id, name } = state.sandboxes.resolve(ref);
    return locks.with('sandbox', id, 'exclusive', async () => {
      const record = state.sandboxes.get(id);
      if (!record) throw gone('sandbox', name);
      const inside = state.inside(id).map((endpoint) => `'${endpoint.name}'`);
      if (inside.length > 0) {
        throw new SluiceError('in_use', `sandbox '${name}' has endpoint(s): ${inside.join(', ')}`, {
          hint: 'let them leave first',
        });
      }
      const resolvConf = await host.resolvConf();
      return makeChange(this.#context, `sandbox '${name}' could not be removed`, dryRun, (change) => {
        change.store(`sandboxes/${id}`, null, record);
        change.stage(
          step(ownerOf('sandbox', record), planSandbox(this.#context, record, resolvConf, []), []),
        );
        change.onDone(() => {
          state.sandboxes.delete(record);
          state.sandboxNumbers.release(record.number);
          for (const text of sandboxClaims(record)) state.claims.delete(text);
        });
        return () => emit('sandbox', 'remove', record);
      });
    });
  }

  /** The namespace's path, and whether it is the host's. */
  async #namespace({
    name,
    netns,
    dns,
    dnsSearch,
    hostname,
  }: SandboxCreate): Promise<{ netns: string; host: boolean }> {
    const { host, state } = this.#context;
    if (netns === undefined) {
      const path = `${NETNS_DIR}/${name}`;
      const ours = state.claims.has(`name sandbox ${name}`) || state.claims.has(`namespace ${path}`);
      if (!ours && (await host.pathExists(path))) {
        throw new SluiceError('conflict', `${path} exists already`, {
          field: 'name',
          hint: 'choose another name, or adopt that namespace with --netns',
        });
      }
      return { netns: path, host: false };
    }
    if (!isAbsolute(netns) || !(await host.isNetns(netns))) {
      throw new SluiceError('invalid_argument', `'${netns}' is no network namespace`, {
        field: 'netns',
        hint: 'give the full path of one, such as /run/netns/NAME or /proc/PID/ns/net',
      });
    }
    const own = await host.isOwnNetns(netns);
    if (own && (dns?.length || dnsSearch?.length || hostname !== undefined)) {
      throw new SluiceError(
        'invalid_argument',
        "a sandbox that is the host's own namespace has the host's names",
        {
          field: dns?.length ? 'dns' : dnsSearch?.length ? 'dnsSearch' : 'hostname',
          hint: 'leave DNS settings and host name out',
        },
      );
    }
    return { netns, host: own };
  }
}

/** `inside` are its endpoints in the order they joined. */
export function planSandbox(
  { state, resolver }: Pick<Context, 'state' | 'resolver'>,
  record: SandboxRecord,
  hostResolvConf: string,
  inside: readonly EndpointRecord[],
): Row[] {
  // The host's own namespace reads the host's own files, that of another engine's container what that one gives it.
  if (record.host || record.origin) return [];
  const addresses = inside.flatMap(({ ipv4, ipv6 }) => [ipv4 ?? [], ipv6 ?? []].flat());
  return [
    ...(record.owned ? [{ kind: 'netns', path: record.netns } as const] : []),
    planFiles(record, hostResolvConf, addresses, {
      resolver,
      internal: inside.length > 0 && inside.every(({ network }) => state.networks.of(network).internal),
    }),
  ];
}

function checkResolver(dns: readonly string[], dnsSearch: readonly string[]): void {
  for (const [i, server] of dns.entries()) {
    if (parseAddress(server)) continue;
    throw new SluiceError('invalid_argument', `'${server}' is not the address of a DNS server`, {
      field: `dns[${i}]`,
      hint: 'give an IP address',
    });
  }
  for (const [i, domain] of dnsSearch.entries()) {
    if (isDomain(domain)) continue;
    throw new SluiceError('invalid_argument', `'${domain}' is not a search domain`, {
      field: `dnsSearch[${i}]`,
      hint: 'give a domain name, or . alone for none',
    });
  }
}

function taken(text: string, name: string, holder: string | undefined): SluiceError {
  const who = holder === undefined ? 'another sandbox, which is being created' : `sandbox '${holder}'`;
  if (text.startsWith('name ')) {
    return new SluiceError('conflict', `a sandbox '${name}' exists already`, {
      field: 'name',
      hint: 'choose another name, or remove that sandbox',
    });
  }
  return new SluiceError('conflict', `${text} belongs to ${who}`, {
    field: 'netns',
    hint: 'use that sandbox',
  });
}
