// SPDX-License-Identifier: Apache-2.0
import { defineConfig } from 'vitest/config';

/** Those with root share the machine's bpffs, namespaces and two cores: one file at a time. */
const privileged = { fileParallelism: false, testTimeout: 120_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    projects: [
      // nothing is kept in modules, so files share them: to load them for each takes longer than the tests
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 20_000, isolate: false } },
      { test: { name: 'bpf', include: ['test/bpf/**/*.test.ts'], ...privileged } },
      { test: { name: 'net', include: ['test/net/**/*.test.ts'], ...privileged } },
      // virtual machines, each emulated: on a machine with much else to do a kernel takes minutes
      {
        test: {
          name: 'kernel',
          include: ['test/kernel/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 1_200_000,
        },
      },
      { test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'], ...privileged } },
      // not of `npm test`: see scripts/test-docker.sh
      { test: { name: 'docker', include: ['test/docker/**/*.test.ts'], ...privileged } },
      { test: { name: 'e2e', include: ['test/e2e/**/*.test.ts'], ...privileged } },
    ],
  },
});
