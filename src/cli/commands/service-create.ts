// SPDX-License-Identifier: Apache-2.0
import { readFile } from 'node:fs/promises';
import { text as readAll } from 'node:stream/consumers';
import type { PlanObject, ServiceObject } from '../../api/schemas/objects.js';
import type { ServiceCreateRequest } from '../../api/schemas/requests.js';
import { parseDuration } from '../../base/units.js';
import { type Call, given } from '../call.js';
import { failed, usage } from '../failure.js';
import { create } from './shared/create.js';
import { weightOf, wholeNumber } from './shared/numbers.js';

export async function serviceCreate(call: Call): Promise<undefined> {
  const { args, options } = call;
  const file = options.text('file');
  if (file !== undefined) return createAll(call, file);
  const [name] = args;
  const network = options.text('network');
  if (name === undefined) throw usage("missing required argument 'NAME'", 'or give --file');
  if (network === undefined) throw usage("required option '--network <NETWORK>' not specified");
  const [vip, vip6] = addresses(options.list('vip'));
  const request: ServiceCreateRequest = {
    name,
    network,
    ...given({
      ports: [...options.list('port')],
      mode: options.text('mode') as ServiceCreateRequest['mode'],
      vip,
      vip6,
      algorithm: options.text('algorithm') as ServiceCreateRequest['algorithm'],
      affinity: affinity(options.text('affinity')),
      idleTimeout: seconds(options.text('idle-timeout'), '--idle-timeout', true),
      publish: [...options.list('publish')],
      allow: [...options.list('allow')],
      selector: options.pairs('selector'),
      health: health(call),
      backends: options.list('backend').map(backend),
    }),
  };
  await create(call, 'services', request);
}

/** The array is checked by the daemon, which says what is wrong with which element. */
async function createAll(
  { args, options, client, out, json, dryRun }: Call,
  file: string,
): Promise<undefined> {
  const others = ['network', 'port', 'vip', 'publish', 'mode', 'health', 'backend'];
  if (args.length > 0 || others.some((name) => options.text(name) !== undefined)) {
    throw usage('--file says everything about the services', 'leave the name and the other options out');
  }
  const requests = parse(await read(file), file);
  const answer = await client.post<ServiceObject[] | PlanObject>('services', requests, {
    dryRun: dryRun || undefined,
  });
  if ('dryRun' in answer) out.plan(answer.rows, json);
  else if (json) out.json(answer);
  else for (const { id } of answer) out.line(id);
}

async function read(file: string): Promise<string> {
  try {
    return file === '-' ? await readAll(process.stdin) : await readFile(file, 'utf8');
  } catch (e) {
    throw failed('invalid_argument', `${file} cannot be read: ${(e as Error).message}`);
  }
}

function parse(text: string, file: string): object[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (e) {
    throw failed('invalid_argument', `${file} is not JSON: ${(e as Error).message}`);
  }
  if (Array.isArray(value)) return value as object[];
  throw failed('invalid_argument', `${file} holds no array`, 'write [{"name": …, "network": …}, …]');
}

function addresses(vips: readonly string[]): [string | undefined, string | undefined] {
  const ofFamily = (v6: boolean): string | undefined => {
    const [one, other] = vips.filter((vip) => vip.includes(':') === v6);
    if (other !== undefined)
      throw usage(`--vip ${other}: there is one already`, 'give one per address family');
    return one;
  };
  return [ofFamily(false), ofFamily(true)];
}

function affinity(text: string | undefined): number | boolean | undefined {
  if (text === 'true' || text === '') return true;
  if (text === 'false' || text === 'off') return undefined;
  return seconds(text, '--affinity', true);
}

function seconds(text: string | undefined, flag: string, whole: boolean): number | undefined {
  if (text === undefined) return undefined;
  const milliseconds = parseDuration(text);
  if (milliseconds === null || (whole && milliseconds % 1000 !== 0)) {
    throw usage(
      `${flag} ${text}: not a time`,
      whole ? 'write whole seconds, or 30m, 3h' : 'write 500ms, 30s, 5m',
    );
  }
  return milliseconds / 1000;
}

function health({ options }: Call): ServiceCreateRequest['health'] {
  const kind = options.text('health');
  const details = given({
    port: wholeNumber(options.text('health-port'), '--health-port'),
    path: options.text('health-path'),
    interval: seconds(options.text('health-interval'), '--health-interval', false),
    timeout: seconds(options.text('health-timeout'), '--health-timeout', false),
    retries: wholeNumber(options.text('health-retries'), '--health-retries'),
  });
  if (kind !== undefined) return { kind: kind as 'tcp' | 'http', ...details };
  const [first] = Object.keys(details);
  if (first !== undefined)
    throw usage(`--health-${first} without --health`, 'give --health tcp or --health http');
  return undefined;
}

/** An endpoint's name has no equals sign. */
function backend(text: string): { endpoint: string; weight?: number } {
  const [endpoint = '', weight] = text.split('=');
  return { endpoint, ...given({ weight: weightOf(weight) }) };
}
