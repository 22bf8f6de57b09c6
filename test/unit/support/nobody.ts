// SPDX-License-Identifier: Apache-2.0
/** What root may do, nobody may not: tests of refusals hold for both. */
const NOBODY = 65534;

export async function asNobody<T>(run: () => Promise<T>): Promise<T> {
  const user = process.geteuid?.();
  if (user !== 0) return run();
  process.seteuid?.(NOBODY);
  try {
    return await run();
  } finally {
    process.seteuid?.(0);
  }
}
