// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SluiceError } from '../../base/errors.js';
import type { SandboxFilesRow } from '../../cnm/rows.js';
import { isErrno, readText, removeEmptyDirectory, removeFile, replaceFile } from '../files.js';
import type { Identity } from '../identity.js';
import type { Actual, Ops } from '../ops.js';

/**
 * /etc/netns/NAME, which `ip netns exec` and `sluice sandbox exec` show to
 * their commands. A first line in resolv.conf says whose the directory is.
 */
export class SandboxFilesOps implements Ops<SandboxFilesRow> {
  readonly #root: string;
  readonly #marker: string;

  constructor(identity: Identity, root = '/etc/netns') {
    this.#root = root;
    this.#marker = `# sluice:${identity.instance}\n`;
  }

  update(row: SandboxFilesRow): void {
    const have = readText(this.#path(row.name, 'resolv.conf'));
    if (have !== null && !have.startsWith(this.#marker)) {
      throw new SluiceError('conflict', `${this.#path(row.name, '')} exists and is not ours`, {
        hint: 'move it away, or give the sandbox another name',
      });
    }
    for (const [file, content] of this.#files(row)) {
      const path = this.#path(row.name, file);
      if (readText(path) !== content) replaceFile(path, content);
    }
  }

  delete({ name }: Pick<SandboxFilesRow, 'name'>): void {
    if (readText(this.#path(name, 'resolv.conf'))?.startsWith(this.#marker) !== true) return;
    // The marker goes last: cut short, the rest is still known to be ours.
    for (const file of ['hosts', 'hostname', 'resolv.conf']) removeFile(this.#path(name, file));
    removeEmptyDirectory(this.#path(name, ''));
  }

  async read(): Promise<Actual<SandboxFilesRow>> {
    return {
      holds: (row) =>
        this.#files(row).every(([file, content]) => readText(this.#path(row.name, file)) === content),
      strays: (wanted) =>
        this.#ours()
          .filter((name) => !wanted(name))
          .map((name) => ({ what: `files ${this.#path(name, '')}`, remove: () => this.delete({ name }) })),
    };
  }

  /** resolv.conf first: it carries the marker. */
  #files(row: SandboxFilesRow): [string, string][] {
    return [
      ['resolv.conf', this.#marker + row.resolvConf],
      ['hosts', row.hosts],
      ['hostname', row.hostname],
    ];
  }

  #ours(): string[] {
    let names: string[];
    try {
      names = readdirSync(this.#root);
    } catch (e) {
      if (isErrno(e, 'ENOENT')) return [];
      throw e;
    }
    return names.filter(
      (name) => readText(this.#path(name, 'resolv.conf'))?.startsWith(this.#marker) === true,
    );
  }

  #path(name: string, file: string): string {
    return join(this.#root, name, file);
  }
}
