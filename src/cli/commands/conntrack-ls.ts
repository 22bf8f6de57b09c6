// SPDX-License-Identifier: Apache-2.0
import type { FlowObject } from '../../api/schemas/conntrack.js';
import type { Call } from '../call.js';
import { formatTable } from '../output.js';
import { flowQuery } from './shared/flows.js';

const HEADINGS = [
  'PROTO',
  'DIRECTION',
  'SOURCE',
  'DESTINATION',
  'TRANSLATED',
  'ENDPOINT',
  'SERVICE',
  'STATE',
  'TIER',
  'AGE',
  'IDLE',
];
/** Wide enough for any IPv4 address and port; longer cells push their neighbours aside. */
const WIDTHS = [5, 9, 21, 21, 21, 16, 16, 11, 6, 6, 4];

/** There may be hundreds of thousands, so each line is printed as it comes. */
export async function conntrackLs(call: Call): Promise<undefined> {
  const { client, out, json } = call;
  const lines = client.lines('conntrack', flowQuery(call));
  let heading = false;
  for await (const line of lines) {
    if (json) {
      out.line(line);
    } else {
      if (!heading) out.line(format(HEADINGS));
      heading = true;
      if (line.startsWith('{')) out.line(format(cells(JSON.parse(line.replace(/,$/, '')) as FlowObject)));
    }
    await out.drained();
  }
}

function cells(flow: FlowObject): string[] {
  const source = address(flow.source, flow.sourcePort);
  const destination = address(flow.destination, flow.destinationPort);
  const translatedSource = address(flow.translatedSource, flow.translatedSourcePort);
  const translatedDestination = address(flow.translatedDestination, flow.translatedDestinationPort);
  const translated = [
    ...(translatedSource === source ? [] : [`from ${translatedSource}`]),
    ...(translatedDestination === destination ? [] : [`to ${translatedDestination}`]),
  ];
  return [
    flow.protocol,
    flow.direction,
    source,
    destination,
    translated.join(' ') || '-',
    flow.endpoint ?? '-',
    flow.service === null ? '-' : `${flow.service} (${flow.backend ?? 'gone'})`,
    flow.state,
    flow.tier,
    seconds(flow.ageSeconds),
    seconds(flow.idleSeconds),
  ];
}

function format(row: readonly string[]): string {
  return formatTable(row, [], WIDTHS)[0] as string;
}

function address(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

function seconds(value: number): string {
  return `${Math.round(value)}s`;
}
