// SPDX-License-Identifier: Apache-2.0
import { run } from './run.js';

// A reader that has seen enough (`sluice events | head -1`) is no failure of ours.
process.stdout.on('error', (e: NodeJS.ErrnoException) => {
  if (e.code === 'EPIPE') process.exit(0);
  throw e;
});

process.exitCode = await run(process.argv.slice(2), process);
