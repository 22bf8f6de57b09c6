// SPDX-License-Identifier: Apache-2.0
import type { AdoptionObject } from '../../api/schemas/docker.js';
import type { Call } from '../call.js';
import { part } from '../client.js';
import { usage } from '../failure.js';
import type { Output } from '../output.js';

/** Prints a script: what is no command is a comment. */
export async function dockerAdopt({ args, client, out, json, dryRun, options }: Call): Promise<undefined> {
  const apply = options.flag('apply');
  if (apply && dryRun) throw usage('--dry-run and --apply exclude each other', 'leave one of them out');
  const plan = await client.post<AdoptionObject>(`docker/networks/${part(args[0] ?? '')}/adopt`, undefined, {
    dryRun: !apply,
    keepAddresses: options.flag('keep-addresses') || undefined,
  });
  if (json) out.json(plan);
  else print(out, plan);
}

function print(out: Output, { network, target, containers, steps, back, warnings }: AdoptionObject): void {
  const { name, subnets, internal, ipv6, options } = network;
  const facts = [
    ...subnets.map(({ subnet, gateway }) => (gateway ? `${subnet} gateway ${gateway}` : subnet)),
    ...(internal ? ['internal'] : []),
    ...(ipv6 ? ['ipv6'] : []),
    ...Object.entries(options).map(([key, value]) => `${key}=${value}`),
  ];
  out.line(`# Network ${name}: ${facts.join(', ') || 'no subnet'}`);
  for (const { name: container, state, ipv4, ipv6: six, ports, project, move } of containers) {
    const detail = [
      state,
      [ipv4, six].filter(Boolean).join(' '),
      ports.length > 0 ? `publishes ${ports.join(' ')}` : '',
      project === null ? '' : `of Compose project ${project}`,
      `moves by: ${move}`,
    ];
    out.line(`#   ${container}: ${detail.filter(Boolean).join(', ')}`);
  }
  for (const warning of warnings) out.line(`# WARNING: ${warning}`);
  section(out, `Moves it to ${target}`, steps);
  section(out, 'The way back', back, '# ');
}

/** Commands of the way back are comments, so that the whole can be kept as a script. */
function section(out: Output, title: string, steps: AdoptionObject['steps'], prefix = ''): void {
  out.line('');
  out.line(`# ${title}`);
  for (const [i, { what, commands }] of steps.entries()) {
    out.line('');
    out.line(`# ${i + 1}. ${what}`);
    for (const command of commands) out.line(`${prefix}${command.replaceAll('\n', `\n${prefix}`)}`);
  }
}
