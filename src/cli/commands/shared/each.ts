// SPDX-License-Identifier: Apache-2.0
import type { Call } from '../../call.js';
import { EXIT, type Failure, toFailure } from '../../failure.js';

/** Does something for each name, and goes on after failures, each of which gets its line. Answers the exit code. */
export async function forEach(
  { args, io, json }: Call,
  task: (name: string) => Promise<void>,
): Promise<number> {
  let exit: number = EXIT.done;
  for (const name of args) {
    try {
      await task(name);
    } catch (e) {
      const failure: Failure = toFailure(e);
      io.stderr.write(`${failure.line(json)}\n`);
      exit = failure.exit;
      // The others would fail in the same way.
      if (exit === EXIT.unreachable) break;
    }
  }
  return exit;
}
