// SPDX-License-Identifier: Apache-2.0
/** Which package a kernel's short name means, by lists of which none is like another a year later. */
import { describe, expect, it } from 'vitest';
import { choose, kernelsOf } from '../../kernel/lab/series.js';

const split = (release: string, ...parts: string[]) => [
  `linux-image-${release}`,
  ...parts.map((part) => `linux-${part}-${release}`),
];
const LIST = [
  'linux-base',
  'linux-image-amd64',
  'linux-image-6.12-amd64',
  'linux-image-6.1.0-9-amd64',
  'linux-image-6.1.0-57-amd64',
  'linux-image-6.1.0-57-amd64-dbg',
  'linux-image-6.1.0-58-amd64-unsigned',
  'linux-image-6.1.0-57-cloud-amd64',
  'linux-image-6.1.0-57-rt-amd64',
  'linux-image-6.12.90+deb12-amd64',
  'linux-image-6.12.90+deb12.1-amd64',
  'linux-image-6.12.117+deb12-amd64',
  'linux-image-6.12.117+deb13-cloud-amd64',
  ...split('7.2.12+deb13-amd64', 'binary', 'modules', 'base'),
  ...split('7.2.13+deb14-amd64', 'binary', 'modules'),
  ...split('7.3.4+deb13-amd64', 'binary'),
  ...split('7.10.1+deb14-cloud-amd64', 'binary', 'modules'),
];
const kernels = kernelsOf(LIST);
const release = (wanted: string) => choose(kernels, wanted)?.release;

describe('a short name', () => {
  it.each([
    ['6.1', '6.1.0-57-amd64'],
    ['6.1-cloud', '6.1.0-57-cloud-amd64'],
    ['6.1-rt', '6.1.0-57-rt-amd64'],
    ['6.12', '6.12.117+deb12-amd64'],
    ['6.12-cloud', '6.12.117+deb13-cloud-amd64'],
    ['7.2', '7.2.13+deb14-amd64'],
    ['7', '7.2.13+deb14-amd64'],
    ['7.x', '7.2.13+deb14-amd64'],
    ['7.x-cloud', '7.10.1+deb14-cloud-amd64'],
    ['newest', '7.2.13+deb14-amd64'],
    ['newest-cloud', '7.10.1+deb14-cloud-amd64'],
    ['6.12.90+deb12.1-amd64', '6.12.90+deb12.1-amd64'],
  ])('%s is the newest kernel of that name', (wanted, expected) => {
    expect(release(wanted)).toBe(expected);
  });

  it.each(['6.2', '7.3', '6.12-rt', '8', 'amd64', ''])('"%s" is none that can be had', (wanted) => {
    expect(release(wanted)).toBeUndefined();
  });
});

it('names all packages of a kernel that is split, and those alone', () => {
  expect(choose(kernels, '7.2.12+deb13-amd64')?.packages).toEqual([
    'linux-binary-7.2.12+deb13-amd64',
    'linux-modules-7.2.12+deb13-amd64',
    'linux-base-7.2.12+deb13-amd64',
  ]);
  expect(choose(kernels, '6.1')?.packages).toEqual(['linux-image-6.1.0-57-amd64']);
});

it('knows no kernel of meta-packages, debug symbols and unsigned images', () => {
  expect(kernels.map((k) => k.release)).not.toContainEqual(expect.stringMatching(/dbg|unsigned|^6\.12-/));
});
