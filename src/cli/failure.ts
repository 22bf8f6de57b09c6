// SPDX-License-Identifier: Apache-2.0
/** The exit codes, and the one line in which a command says why it failed. */
export const EXIT = { done: 0, failed: 1, usage: 2, unreachable: 3 } as const;

export class Failure extends Error {
  readonly exit: number;
  /** As in the API's errors; `usage` is the command line's own. */
  readonly code: string;
  readonly hint: string | undefined;
  readonly field: string | undefined;

  constructor(
    exit: number,
    code: string,
    message: string,
    details: { hint?: string; field?: string; cause?: unknown } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.exit = exit;
    this.code = code;
    this.hint = details.hint;
    this.field = details.field;
  }

  line(json: boolean): string {
    if (json)
      return JSON.stringify({ code: this.code, message: this.message, field: this.field, hint: this.hint });
    const text = `sluice: ${this.message}${this.hint === undefined ? '' : ` (${this.hint})`}`;
    return text.replace(/\s*\n\s*/g, ' ');
  }
}

export function usage(message: string, hint?: string): Failure {
  return new Failure(EXIT.usage, 'usage', message, hint === undefined ? {} : { hint });
}

export function failed(code: string, message: string, hint?: string): Failure {
  return new Failure(EXIT.failed, code, message, hint === undefined ? {} : { hint });
}

/** Whatever else is thrown is a defect. */
export function toFailure(e: unknown): Failure {
  if (e instanceof Failure) return e;
  return new Failure(EXIT.failed, 'internal', e instanceof Error ? e.message : String(e), {
    hint: 'this is a defect of sluice',
    cause: e,
  });
}
