// SPDX-License-Identifier: Apache-2.0
/** Which kernels a package list offers, and which of them a short name such as 6.12-cloud means. */

export interface Kernel {
  /** As uname -r has it: 6.12.117+deb12-amd64 */
  readonly release: string;
  /** 6.12, 6.12-cloud, 6.12-rt */
  readonly series: string;
  readonly packages: readonly string[];
}

const RELEASE = /^(\d+\.\d+)[.+-](.*?)(?:-(cloud|rt))?-(amd64|arm64)$/;

/** The numbers of a release one after another, which is how they are compared. */
function numbersOf(release: string): number[] {
  return (release.match(/\d+/g) ?? []).map(Number);
}

/** By the numbers in two releases or series, and those alike by their flavour. */
export function bySeries(a: string, b: string): number {
  const [left, right] = [numbersOf(a), numbersOf(b)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/**
 * The kernels whose packages are all there, the oldest first. An image is one
 * package, or since about 6.19 split into parts, of which a list may have lost some.
 */
export function kernelsOf(packages: Iterable<string>): Kernel[] {
  const names = new Set(packages);
  const found: Kernel[] = [];
  for (const name of names) {
    if (!name.startsWith('linux-image-')) continue;
    const release = name.slice('linux-image-'.length);
    const match = RELEASE.exec(release);
    if (match === null) continue;
    const [, version, , flavour] = match;
    const series = flavour === undefined ? (version as string) : `${version}-${flavour}`;
    const [binary, modules, base] = ['binary', 'modules', 'base'].map((part) => `linux-${part}-${release}`);
    if (!names.has(binary as string)) found.push({ release, series, packages: [name] });
    else if (names.has(modules as string))
      found.push({
        release,
        series,
        packages: [binary, modules, base].filter((part) => part !== undefined && names.has(part)) as string[],
      });
  }
  return found.sort((a, b) => bySeries(a.release, b.release));
}

/**
 * The kernel that `wanted` means: a release, a series, the newest of a major
 * version with or without a flavour (7, 7.x, 7-cloud), or `newest`.
 */
export function choose(kernels: readonly Kernel[], wanted: string): Kernel | undefined {
  const [version, flavour = ''] = wanted.replace(/\.x(?=-|$)/, '').split('-', 2) as [string, string?];
  const major = /^\d+$/.test(version);
  return kernels.findLast(({ release, series }) => {
    if (release === wanted || series === wanted) return true;
    const [ofSeries, ofFlavour = ''] = series.split('-', 2) as [string, string?];
    if (ofFlavour !== flavour) return false;
    return version === 'newest' || (major && ofSeries.split('.')[0] === version);
  });
}
