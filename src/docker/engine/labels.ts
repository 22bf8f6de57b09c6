// SPDX-License-Identifier: Apache-2.0
/** What a container's labels declare. */
import { SluiceError } from '../../base/errors.js';
import { isName } from '../../base/names.js';
import { parseAllow } from '../../cnm/allow.js';
import {
  parseAffinity,
  parseAlgorithm,
  parseServicePorts,
  parseServicePublish,
  parseWeight,
} from '../../cnm/servicespec.js';
import type { Algorithm, ServicePort, ServicePublish } from '../../cnm/types.js';

export const SERVICE = 'sluice.service';
export const PORT = 'sluice.port';
const WEIGHT = 'sluice.weight';
export const PUBLISH = 'sluice.publish';
const ALGORITHM = 'sluice.algorithm';
const AFFINITY = 'sluice.affinity';
const ALLOW = 'sluice.allow';
const KNOWN: readonly string[] = [SERVICE, PORT, WEIGHT, PUBLISH, ALGORITHM, AFFINITY, ALLOW];

const DEFAULT_WEIGHT = 1;

/** Of the service, as one container has it. */
export interface Settings {
  readonly ports: ServicePort[];
  readonly publish: ServicePublish[];
  readonly algorithm: Algorithm;
  readonly affinity: number | null;
  readonly allow: string[];
}

export interface Declaration {
  readonly service: string;
  readonly settings: Settings;
  /** The labels that are there: what a container does not say, it does not contradict. */
  readonly said: ReadonlySet<keyof Settings>;
  readonly weight: number;
}

export interface LabelProblem {
  readonly label: string;
  readonly message: string;
}

/** `declaration` null: it declares nothing, or `problems` says why it counts for nothing. */
export interface Reading {
  readonly declaration: Declaration | null;
  readonly problems: readonly LabelProblem[];
}

export const LABEL_OF: Readonly<Record<keyof Settings, string>> = {
  ports: PORT,
  publish: PUBLISH,
  algorithm: ALGORITHM,
  affinity: AFFINITY,
  allow: ALLOW,
};

export function readLabels(labels: Readonly<Record<string, string>>): Reading {
  const ours = Object.keys(labels).filter((key) => key.startsWith('sluice.'));
  if (ours.length === 0) return { declaration: null, problems: [] };
  const unknown = ours
    .filter((key) => !KNOWN.includes(key))
    .map((label) => ({ label, message: `there is no label '${label}' (there are ${KNOWN.join(', ')})` }));
  const problems: LabelProblem[] = [];
  const read = <T>(label: string, parse: (text: string) => T): T | undefined => {
    const text = labels[label];
    if (text === undefined) return undefined;
    try {
      return parse(text.trim());
    } catch (e) {
      if (!(e instanceof SluiceError)) throw e;
      problems.push({ label, message: e.hint === undefined ? e.message : `${e.message} (${e.hint})` });
      return undefined;
    }
  };

  const service = labels[SERVICE]?.trim();
  if (service === undefined) {
    const lonely = ours.filter((key) => KNOWN.includes(key));
    const message = `without ${SERVICE} it says nothing`;
    return { declaration: null, problems: [...unknown, ...lonely.map((label) => ({ label, message }))] };
  }
  if (!isName(service)) {
    problems.push({
      label: SERVICE,
      message: `'${service}' is not a name (letters, digits, dots, hyphens and underscores, at most 63)`,
    });
  }
  const ports = read(PORT, (text) => parseServicePorts(text, PORT));
  if (labels[PORT] === undefined) {
    problems.push({ label: PORT, message: 'it is missing (write VIPPORT[:BACKENDPORT][/proto])' });
  }
  const publish = ports && read(PUBLISH, (text) => parseServicePublish(text, ports, PUBLISH));
  const algorithm = read(ALGORITHM, (text) => parseAlgorithm(text, ALGORITHM));
  const affinity = read(AFFINITY, (text) => parseAffinity(text, AFFINITY));
  const allow = read(ALLOW, (text) => parseAllow(text.split(',').map((source) => source.trim())));
  const weight = read(WEIGHT, (text) => parseWeight(text, WEIGHT));
  if (problems.length > 0 || ports === undefined) {
    return { declaration: null, problems: [...problems, ...unknown] };
  }
  const settings: Settings = {
    ports,
    publish: publish ?? [],
    algorithm: algorithm ?? 'random',
    affinity: affinity ?? null,
    allow: allow ?? [],
  };
  const said = (Object.keys(LABEL_OF) as (keyof Settings)[]).filter((key) => LABEL_OF[key] in labels);
  return {
    declaration: { service, settings, said: new Set(said), weight: weight ?? DEFAULT_WEIGHT },
    problems: unknown,
  };
}
