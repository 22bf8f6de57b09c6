// SPDX-License-Identifier: Apache-2.0
import type { Status } from '../../api/schemas/status.js';
import { formatDuration } from '../../base/units.js';
import type { Call } from '../call.js';
import { formatTable, type Output, shortId } from '../output.js';
import { tableFill } from './shared/tables.js';

export async function status({ client, out, json }: Call): Promise<undefined> {
  const answer = await client.get<Status>('status');
  if (json) out.json(answer);
  else print(out, answer);
}

function print(out: Output, status: Status): void {
  const { objects, rows } = status;
  const facts = [
    ['Node', status.address === null ? status.node : `${status.node} (${status.address})`],
    ['Sluice', status.version],
    ['Kernel', status.kernel],
    ['Up', formatDuration(Math.floor(status.uptimeSeconds) * 1000)],
    ['Uplinks', status.uplinks.map(uplink).join(', ') || 'none'],
    [
      'Objects',
      `${objects.networks} networks, ${objects.sandboxes} sandboxes, ${objects.endpoints} endpoints`,
    ],
    ['Names', names(status.resolver)],
    ['Docker', docker(status.docker)],
    ['State', state(status.state)],
    ['Rows', `${rows.done} done, ${rows.pending} pending, ${rows.error} in error`],
  ];
  for (const [name = '', value = ''] of facts) out.line(`${`${name}:`.padEnd(9)}${value}`);

  section(
    out,
    ['NOT DONE', 'OWNER', 'STATE', 'WHY'],
    status.problems.map(({ row, key, owner, name, state, error }) => [
      `${row} ${key}`,
      [owner.kind, name ?? ''].join(' ').trimEnd(),
      state,
      error ?? '-',
    ]),
  );
  section(
    out,
    ['CONTAINER', 'LABEL', 'COUNTS FOR NOTHING BECAUSE'],
    (status.docker?.problems ?? []).map(({ container, label, message }) => [container.name, label, message]),
  );
  section(
    out,
    ['FEATURE', 'AVAILABLE', 'USING'],
    status.features.map(({ feature, available, using }) => [feature, available ? 'yes' : 'no', using]),
  );
  section(
    out,
    ['LINK', 'HOOK', 'MODE'],
    status.attachModes.map(({ link, hook, mode }) => [link, hook, mode]),
  );
  if (status.tables.length > 0) out.line('');
  if (status.tables.length > 0) tableFill(out, status.tables);
  section(
    out,
    ['DROPPED', 'PACKETS', 'BYTES'],
    Object.entries(status.drops).map(([reason, { packets, bytes }]) => [
      reason,
      String(packets),
      String(bytes),
    ]),
  );
}

function names(resolver: Status['resolver']): string {
  if (resolver === null) return 'no resolver';
  const { sandboxes, waiting, queries, forwarded, failed } = resolver;
  const later = waiting === 0 ? '' : ` (${waiting} to come)`;
  return `resolver in ${sandboxes} sandboxes${later}, ${queries} queries, ${forwarded} forwarded, ${failed} failed`;
}

function state({ id, revision, lastBackup, restored }: Status['state']): string {
  const origin = restored === null ? '' : `, restored from a backup of ${restored.created}`;
  return `${shortId(id)} at change ${revision}, ${lastBackup === null ? 'no backup yet' : `backup of ${lastBackup}`}${origin}`;
}

function docker(engine: Status['docker']): string {
  if (engine === null) return 'not followed';
  const { url, connected, seconds, version, error, containers, running, services } = engine;
  const time = formatDuration(Math.floor(seconds) * 1000);
  if (connected)
    return `${version} at ${url} for ${time}, ${running} of ${containers} containers run, ${services} services`;
  return `not connected to ${url}${error === null ? '' : `: ${error}`}`;
}

function uplink({ link, layer, addresses }: Status['uplinks'][number]): string {
  const detail = [...(layer === 'l3' ? ['no Ethernet'] : []), ...addresses].join(', ');
  return detail ? `${link} (${detail})` : link;
}

/** Sections that have nothing to say are left out. */
function section(out: Output, headings: readonly string[], rows: readonly (readonly string[])[]): void {
  if (rows.length === 0) return;
  out.line('');
  for (const line of formatTable(headings, rows)) out.line(line);
}
