// SPDX-License-Identifier: Apache-2.0
/** From all containers to the services that their labels declare. Pure: the same containers make the same services. */
import type { BackendState, DeclaredBackend, ServiceIntent } from '../../cnm/types.js';
import { type Declaration, LABEL_OF, readLabels, SERVICE, type Settings } from './labels.js';
import { type Container, isRunning } from './picture.js';

/** Why a container's labels count for less than their author meant. */
export interface Problem {
  readonly container: { readonly id: string; readonly name: string };
  /** null: it names none. */
  readonly service: string | null;
  readonly label: string;
  readonly message: string;
}

export interface Declared {
  readonly services: readonly ServiceIntent[];
  readonly problems: readonly Problem[];
}

interface Member {
  readonly container: Container;
  readonly declaration: Declaration;
}

/**
 * `holders`: whose settings each service has now, so that it keeps them while
 * that container runs. `endpointsOf`: our endpoints of a container.
 */
export function declaredBy(
  containers: readonly Container[],
  holders: ReadonlyMap<string, string>,
  endpointsOf: (container: Container) => string[],
): Declared {
  const problems: Problem[] = [];
  const members = new Map<string, Member[]>();
  for (const container of containers) {
    const { declaration, problems: own } = readLabels(container.labels);
    const tell = { container: identity(container), service: container.labels[SERVICE]?.trim() ?? null };
    problems.push(...own.map((problem) => ({ ...tell, ...problem })));
    if (declaration === null) continue;
    const group = members.get(declaration.service) ?? [];
    members.set(declaration.service, [...group, { container, declaration }]);
  }
  const services = [...members].map(([name, group]): ServiceIntent => {
    const first = holderOf(group, holders.get(name));
    const backends: DeclaredBackend[] = [];
    for (const member of [...group].sort(older)) {
      const conflict = member === first ? null : conflictOf(first, member);
      if (conflict) problems.push({ container: identity(member.container), service: name, ...conflict });
      else backends.push(backendOf(member, endpointsOf));
    }
    return { name, ...first.declaration.settings, declaredBy: identity(first.container), backends };
  });
  return { services: services.sort((a, b) => (a.name < b.name ? -1 : 1)), problems };
}

export function backendState(container: Container): BackendState {
  if (!isRunning(container)) return 'gone';
  if (container.stopping !== null || container.state === 'paused') return 'draining';
  if (container.health === 'starting') return 'starting';
  return container.health === 'unhealthy' ? 'draining' : 'active';
}

/** The one that held stays while it runs; then the first that started; then the first there was. */
function holderOf(group: readonly Member[], holder: string | undefined): Member {
  const running = group.filter(({ container }) => isRunning(container));
  const candidates = running.length > 0 ? running : group;
  const held = candidates.find(({ container }) => container.id === holder);
  return held ?? ([...candidates].sort(earlier)[0] as Member);
}

function conflictOf(first: Member, member: Member): { label: string; message: string } | null {
  for (const key of member.declaration.said) {
    const [ours, theirs] = [member, first].map(({ declaration }) => text(declaration.settings[key]));
    if (ours === theirs) continue;
    return {
      label: LABEL_OF[key],
      message: `container '${first.container.name}' declares the service otherwise, and was first: this one is not taken in`,
    };
  }
  return null;
}

/** The order in which ports and sources are written says nothing. */
function text(value: Settings[keyof Settings]): string {
  return Array.isArray(value) ? JSON.stringify(value.map((v) => JSON.stringify(v)).sort()) : String(value);
}

function backendOf(
  { container, declaration }: Member,
  endpointsOf: (c: Container) => string[],
): DeclaredBackend {
  const runs = isRunning(container);
  return {
    endpoints: runs ? endpointsOf(container) : [],
    container: identity(container),
    weight: declaration.weight,
    state: backendState(container),
    healthy: !runs || container.health === null ? null : container.health === 'healthy',
  };
}

function identity({ id, name }: Container): { id: string; name: string } {
  return { id, name };
}

function earlier(a: Member, b: Member): number {
  return a.container.startedAt - b.container.startedAt || older(a, b);
}

function older(a: Member, b: Member): number {
  return a.container.created - b.container.created || (a.container.id < b.container.id ? -1 : 1);
}
