// SPDX-License-Identifier: Apache-2.0
import type { Call } from '../call.js';
import { bashScript } from '../completion/bash.js';
import { fishScript } from '../completion/fish.js';
import { zshScript } from '../completion/zsh.js';
import { usage } from '../failure.js';

const SHELLS: Readonly<Record<string, () => string>> = { bash: bashScript, zsh: zshScript, fish: fishScript };

export async function completion({ args, out }: Call): Promise<undefined> {
  const script = SHELLS[args[0] ?? ''];
  if (!script)
    throw usage(`'${args[0]}' is not a shell that completion is made for`, 'give bash, zsh or fish');
  out.line(script().trimEnd());
}
