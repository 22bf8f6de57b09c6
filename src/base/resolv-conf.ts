// SPDX-License-Identifier: Apache-2.0

/** What resolv.conf(5) says, as it says it. */
export interface ResolvConf {
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export function parseResolvConf(text: string): ResolvConf {
  const lines = text
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([keyword = '']) => keyword !== '' && !/^[#;]/.test(keyword));
  const of = (...keywords: string[]): string[][] =>
    lines.filter(([keyword = '']) => keywords.includes(keyword));
  return {
    servers: of('nameserver').flatMap(([, server]) => server ?? []),
    // The last `search` or `domain` counts.
    search: of('search', 'domain').at(-1)?.slice(1) ?? [],
    options: of('options').flatMap((line) => line.slice(1)),
  };
}
