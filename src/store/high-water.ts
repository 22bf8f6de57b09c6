// SPDX-License-Identifier: Apache-2.0
/**
 * The last version that was committed, in a file beside the database. It is
 * written after each commit and not synced: so it may lag behind, after a power
 * cut, but is never ahead of what was committed. A database below it has lost
 * commits, as one does whose log is cut or gone.
 */
import { closeSync, constants, openSync, readFileSync, rmSync, writeSync } from 'node:fs';

const DIGITS = 16;

export class HighWater {
  readonly #path: string;
  #fd: number | null = null;

  constructor(path: string) {
    this.#path = path;
  }

  /** null: not known, as after a power cut that came before the first write got to the disk. */
  read(): number | null {
    try {
      const text = readFileSync(this.#path, 'utf8');
      return /^\d{16}\n$/.test(text) ? Number(text) : null;
    } catch (e) {
      if ((e as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw e;
    }
  }

  /** What cannot be noted lags behind: the commit is made already. */
  note(version: number): void {
    try {
      this.#fd ??= openSync(this.#path, constants.O_WRONLY | constants.O_CREAT, 0o600);
      // Of fixed width, so that it needs no room that a full disk does not have.
      writeSync(this.#fd, `${String(version).padStart(DIGITS, '0')}\n`, 0);
    } catch {
      this.close();
    }
  }

  forget(): void {
    this.close();
    rmSync(this.#path, { force: true });
  }

  close(): void {
    if (this.#fd !== null) closeSync(this.#fd);
    this.#fd = null;
  }
}
