// SPDX-License-Identifier: Apache-2.0
import { release } from 'node:os';
import { basename } from 'node:path';
import type { Config } from '../config/options.js';
import type { Daemon } from './serve.js';
import { VERSION } from './version.js';

/** The daemon's first words: what it found, where it listens, what to try. */
export function banner(config: Config, daemon: Daemon, seconds: number): string {
  const { features, pass, recreated, uplinks, objects, listener } = daemon;
  const sluice = config.socket === '/run/sluice/sluice.sock' ? 'sluice' : `sluice --socket ${config.socket}`;
  const found = [
    plural(objects.networks, 'network'),
    plural(objects.sandboxes, 'sandbox', 'es'),
    plural(objects.endpoints, 'endpoint'),
  ];
  const work = [
    `${pass.adopted} rows in place`,
    `${pass.updated} brought up`,
    ...(pass.pruned.length > 0 ? [`${pass.pruned.length} left-overs removed`] : []),
    ...(pass.failed > 0 ? [`${pass.failed} not done (see ${sluice} status)`] : []),
  ];
  return [
    `sluiced ${VERSION} on ${config.nodeName}, Linux ${release()}, ready in ${seconds.toFixed(2)} s`,
    `  uplinks   ${uplinks.length > 0 ? uplinks.join(', ') : 'none yet; links are followed as they come'}`,
    `  kernel    ${features.map(({ using }) => using).join(', ')}`,
    `  state     ${config.stateDir}: ${found.join(', ')}`,
    `  dataplane ${config.bpffs}: ${work.join(', ')}`,
    ...(recreated.length > 0
      ? [`            converted, their layout has changed: ${recreated.join(', ')}`]
      : []),
    `  API       ${config.socket}${listener.tcp === null ? '' : ` and https://${listener.tcp.host}:${listener.tcp.port}`}`,
    ...(config.dockerPlugin === null
      ? []
      : [
          `  Docker    ${config.dockerPlugin}: docker network create -d ${basename(config.dockerPlugin, '.sock')} NAME`,
        ]),
    'Try:',
    `  ${sluice} status`,
    `  ${sluice} network create web && ${sluice} sandbox create box`,
    `  ${sluice} connect web box -p 8080:80`,
    '',
  ].join('\n');
}

function plural(count: number, noun: string, ending = 's'): string {
  return `${count} ${noun}${count === 1 ? '' : ending}`;
}
