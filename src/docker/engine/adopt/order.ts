// SPDX-License-Identifier: Apache-2.0
/** The order of the commands, forth and back, for a network beside the old one and for one in its place. */
import type { NetworkInspect } from '../shapes.js';
import { createWords, recreateWords } from './create.js';
import { ownAliases, type RunCommand } from './run.js';
import { command } from './shell.js';
import { type Adoption, DEFAULT_BRIDGE, type Move, type Moved, PROJECT, type Step } from './types.js';

const DRIVER = ['-d', 'sluice', '--ipam-driver', 'sluice'];
const SUFFIX = '-before-sluice';

type Steps = Pick<Adoption, 'steps' | 'back'>;

/** Both networks for a while: containers that publish nothing are on both, and lose no connection by name. */
export function besideIt(network: NetworkInspect, target: string, moved: readonly Moved[]): Steps {
  const [plain, anew, projects] = split(moved);
  const connect = (to: string) => (m: Moved) =>
    command('docker', 'network', 'connect', ...aliasWords(m), to, m.view.name);
  const disconnect = (from: string) => (m: Moved) =>
    command('docker', 'network', 'disconnect', from, m.view.name);
  return steps(
    [
      {
        what: 'Make the new network beside the old one; it has a subnet of its own',
        commands: [
          command(
            'docker',
            'network',
            'create',
            ...createWords(network, { name: target, driver: DRIVER, sameAddresses: false }),
          ),
        ],
      },
      {
        what: 'Connect the containers that publish no port to both; nothing is interrupted',
        commands: plain.map(connect(target)),
      },
      {
        what: 'Make those that publish ports anew, one after another; each is away while it restarts',
        commands: anew.flatMap(swap),
      },
      ...projects.map((project) => composeStep(project, target)),
      {
        what: 'Take the others off the old network; connections over it end',
        commands: plain.map(disconnect(network.name)),
      },
      {
        what: 'When all is well: remove what was kept for the way back',
        commands: [
          ...anew.map(({ view }) => command('docker', 'rm', `${view.name}${SUFFIX}`)),
          ...(network.name === DEFAULT_BRIDGE ? [] : [command('docker', 'network', 'rm', network.name)]),
        ],
      },
    ],
    [
      { what: 'Where the old network is removed already: make it again', commands: again(network) },
      {
        what: 'Connect the containers that publish no port to the old network again',
        commands: plain.map(connect(network.name)),
      },
      { what: 'Put the old containers back in their places', commands: anew.flatMap(swapBack) },
      ...projects.map((project) => composeBack(project)),
      {
        what: 'Take the others off the new network, and remove it',
        commands: [...plain.map(disconnect(target)), command('docker', 'network', 'rm', target)],
      },
    ],
  );
}

/** The old network goes first, since no two networks can have one subnet. */
export function inItsPlace(network: NetworkInspect, target: string, moved: readonly Moved[]): Steps {
  const [plain, anew, projects] = split(moved);
  const connect = (m: Moved): string => {
    const { ipv4, ipv6 } = m.attachment;
    return command(
      ...['docker', 'network', 'connect', ...aliasWords(m)],
      ...(ipv4 ? ['--ip', ipv4] : []),
      ...(ipv6 ? ['--ip6', ipv6] : []),
      ...[target, m.view.name],
    );
  };
  const clear = [
    ...plain.map(({ view }) =>
      command('docker', 'network', 'disconnect', '--force', network.name, view.name),
    ),
  ];
  return steps(
    [
      ...projects.map(({ project, names }) => ({
        what: `Take down the Compose project ${project} (${names.join(', ')})`,
        commands: [command('docker', 'compose', '-p', project, 'down')],
      })),
      {
        what: 'Set those that publish ports aside, and take the others off; from here on they are cut off',
        commands: [...anew.flatMap(aside), ...clear],
      },
      {
        what: 'Put the new network in the place of the old one',
        commands: [
          command('docker', 'network', 'rm', network.name),
          command(
            'docker',
            'network',
            'create',
            ...createWords(network, { name: target, driver: DRIVER, sameAddresses: true }),
          ),
        ],
      },
      {
        what: 'Connect the containers with the addresses that they had',
        commands: [...plain.map(connect), ...anew.map(runAnew)],
      },
      ...projects.map((project) => composeStep(project, target)),
      {
        what: 'When all is well: remove what was kept for the way back',
        commands: anew.map(({ view }) => command('docker', 'rm', `${view.name}${SUFFIX}`)),
      },
    ],
    [
      ...projects.map(({ project, names }) => ({
        what: `Take down the Compose project ${project} (${names.join(', ')})`,
        commands: [command('docker', 'compose', '-p', project, 'down')],
      })),
      {
        what: 'Put the old network back in its place',
        commands: [
          ...clear,
          ...anew.map(({ view }) => command('docker', 'rm', '--force', view.name)),
          command('docker', 'network', 'rm', target),
          ...again(network),
        ],
      },
      {
        what: 'Put the containers back',
        commands: [
          ...plain.map(connect),
          ...anew.flatMap(({ view }) => [
            command('docker', 'rename', `${view.name}${SUFFIX}`, view.name),
            // It was set aside while it belonged to the network that is gone.
            command('docker', 'network', 'disconnect', '--force', network.name, view.name),
            command('docker', 'network', 'connect', network.name, view.name),
            command('docker', 'start', view.name),
          ]),
        ],
      },
      ...projects.map((project) => composeBack(project)),
    ],
  );
}

interface Project {
  readonly project: string;
  readonly names: string[];
  /** Compose's files, where it noted them. */
  readonly files: string[];
}

function split(moved: readonly Moved[]): [Moved[], Moved[], Project[]] {
  const by = (move: Move): Moved[] => moved.filter(({ view }) => view.move === move);
  const projects = new Map<string, Project>();
  for (const { view, container } of by('compose')) {
    const project = view.project as string;
    const files = (container.labels[`${PROJECT}.config_files`] ?? '').split(',').filter(Boolean);
    const known = projects.get(project);
    projects.set(project, { project, files, names: [...(known?.names ?? []), view.name] });
  }
  return [by('connect'), by('recreate'), [...projects.values()]];
}

function composeStep({ project, names, files }: Project, target: string): Step {
  const where = files.length > 0 ? files.join(', ') : `the Compose file of ${project}`;
  return {
    what: `In ${where}, give the network \`external: true\` and \`name: ${target}\`, then let Compose make ${names.join(', ')} anew`,
    commands: [
      command('docker', 'compose', '-p', project, ...files.flatMap((file) => ['-f', file]), 'up', '-d'),
    ],
  };
}

function composeBack({ project, names, files }: Project): Step {
  const where = files.length > 0 ? files.join(', ') : `the Compose file of ${project}`;
  return {
    what: `Undo the change of ${where}, and let Compose make ${names.join(', ')} anew`,
    commands: [
      command('docker', 'compose', '-p', project, ...files.flatMap((file) => ['-f', file]), 'up', '-d'),
    ],
  };
}

function aliasWords({ container, attachment }: Moved): string[] {
  return ownAliases(container, attachment.aliases).flatMap((alias) => ['--alias', alias]);
}

function aside({ view }: Moved): string[] {
  return [
    command('docker', 'stop', view.name),
    command('docker', 'rename', view.name, `${view.name}${SUFFIX}`),
  ];
}

function runAnew({ run }: Moved): string {
  return command('docker', 'run', ...(run as RunCommand).words);
}

/** A second network can be joined only when there is a container. */
function others({ container, attachment, view }: Moved): string[] {
  return container.networks
    .filter(({ name }) => name !== attachment.name)
    .map(({ name, aliases }) =>
      command(
        'docker',
        'network',
        'connect',
        ...ownAliases(container, aliases).flatMap((alias) => ['--alias', alias]),
        name,
        view.name,
      ),
    );
}

function swap(moved: Moved): string[] {
  return [...aside(moved), runAnew(moved), ...others(moved)];
}

function swapBack({ view }: Moved): string[] {
  return [
    command('docker', 'rm', '--force', view.name),
    command('docker', 'rename', `${view.name}${SUFFIX}`, view.name),
    command('docker', 'start', view.name),
  ];
}

function again(network: NetworkInspect): string[] {
  return network.name === DEFAULT_BRIDGE
    ? []
    : [command('docker', 'network', 'create', ...recreateWords(network))];
}

/** Steps that have nothing to do are left out. */
function steps(forward: readonly Step[], back: readonly Step[]): Steps {
  const filled = (all: readonly Step[]): Step[] => all.filter(({ commands }) => commands.length > 0);
  return { steps: filled(forward), back: filled(back) };
}
