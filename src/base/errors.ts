// SPDX-License-Identifier: Apache-2.0
/**
 * The one registry of errors. A code is public interface: it appears in API
 * answers, in `--format json` and in logs, and never changes its meaning.
 * `status` is the HTTP status the API answers with; the CLI maps every one of
 * them to exit code 1 (2 is wrong usage, 3 an unreachable daemon).
 */
export const ERRORS = {
  invalid_argument: { status: 400, text: 'a value is malformed or not allowed here' },
  unsupported: { status: 400, text: 'this version does not have that feature yet' },
  forbidden: { status: 403, text: 'this caller may not do that, or not this way' },
  not_found: { status: 404, text: 'no such object' },
  ambiguous: { status: 409, text: 'an id prefix matches several objects' },
  conflict: { status: 409, text: 'the object exists already or changed meanwhile' },
  in_use: { status: 409, text: 'the object is still referred to' },
  overlap: { status: 409, text: 'an address range overlaps another one' },
  address_taken: { status: 409, text: 'the address belongs to somebody else' },
  port_taken: { status: 409, text: 'the host port belongs to somebody else' },
  pool_exhausted: { status: 507, text: 'an address or port pool has nothing left' },
  table_full: { status: 507, text: 'a kernel table has no room' },
  disk_full: { status: 507, text: 'a file system has no room' },
  daemon_running: { status: 409, text: 'another daemon holds this place' },
  environment: { status: 500, text: 'this host lacks something that is needed' },
  kernel: { status: 500, text: 'the kernel refused an operation' },
  verifier: { status: 500, text: 'the kernel refused a program' },
  store: { status: 500, text: 'the state could not be read or written' },
  unavailable: { status: 503, text: 'not ready, or shutting down' },
  internal: { status: 500, text: 'a defect of this program' },
} as const satisfies Record<string, { status: number; text: string }>;

export type ErrorCode = keyof typeof ERRORS;

export interface ErrorDetails {
  /** The request field at fault, in the API's spelling (`subnets[0].cidr`). */
  field?: string;
  /** What the user can do about it, one sentence. */
  hint?: string;
  cause?: unknown;
}

/** Every failure a user may see. `message` says what and why in one line. */
export class SluiceError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'SluiceError';
    this.code = code;
    this.field = details.field;
    this.hint = details.hint;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  /** The body of an error answer (CONTRACT: `{code, message, field?, hint?}`). */
  toJSON(): { code: ErrorCode; message: string; field?: string; hint?: string } {
    return {
      code: this.code,
      message: this.message,
      ...(this.field === undefined ? {} : { field: this.field }),
      ...(this.hint === undefined ? {} : { hint: this.hint }),
    };
  }
}

/** What the native addon throws: every field set by C++, see src/native. */
export interface NativeError extends Error {
  /** `native`: constant, so that a type guard can tell these from Node's own. */
  readonly kind: 'native';
  /** errno name, such as `EEXIST`. */
  readonly code: string;
  /** Positive errno. */
  readonly errno: number;
  /** The failing call, such as `bpf_link_create` or `RTM_NEWLINK`. */
  readonly syscall: string;
  /** libbpf's or the verifier's log where there is one, else the kernel's extack text, else ''. */
  readonly log: string;
}

export function isNativeError(e: unknown): e is NativeError {
  return e instanceof Error && (e as Partial<NativeError>).kind === 'native';
}

/** Nothing has changed; `where` is a file or directory that there is no room for. */
export function diskFull(where: string, cause: unknown): SluiceError {
  return new SluiceError('disk_full', `there is no room on the disk of ${where}: nothing was changed`, {
    hint: 'make room there, and try again',
    cause,
  });
}

/** Wraps anything thrown into a SluiceError; SluiceErrors pass unchanged. */
export function toSluiceError(e: unknown, what: string): SluiceError {
  if (e instanceof SluiceError) return e;
  if (isNativeError(e)) {
    const log = e.log ? `: ${e.log.trim().split('\n').at(-1)}` : '';
    return new SluiceError('kernel', `${what}: ${e.syscall}: ${e.code}${log}`, { cause: e });
  }
  const { code, path } = e as NodeJS.ErrnoException;
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(path ?? what, e);
  const text = e instanceof Error ? e.message : String(e);
  return new SluiceError('internal', `${what}: ${text}`, { cause: e });
}
