// SPDX-License-Identifier: Apache-2.0
import type { Io } from './call.js';
import { toFailure } from './failure.js';
import { execute } from './program.js';

/** One run of `sluice`: `argv` without the program's name. Answers the exit code and throws nothing. */
export async function run(argv: readonly string[], io: Io): Promise<number> {
  let json = false;
  try {
    return await execute(argv, io, (wanted) => {
      json = wanted;
    });
  } catch (e) {
    const failure = toFailure(e);
    io.stderr.write(`${failure.line(json)}\n`);
    return failure.exit;
  }
}
