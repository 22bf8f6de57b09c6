// SPDX-License-Identifier: Apache-2.0

const NEWLINE = 0x0a;
/** Labels come with each event and may be long; what is longer than this is no event. */
const MAX_LINE = 8 * 1024 * 1024;

/** Lines out of chunks that may be cut anywhere, inside a character too. Empty lines are left out. */
export class Lines {
  #rest: Buffer[] = [];
  #length = 0;

  /** The lines that `chunk` completes. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at >= 0; at = chunk.indexOf(NEWLINE, from)) {
      const line = Buffer.concat([...this.#rest, chunk.subarray(from, at)])
        .toString()
        .trim();
      if (line !== '') lines.push(line);
      this.#rest = [];
      this.#length = 0;
      from = at + 1;
    }
    if (from < chunk.length) {
      this.#length += chunk.length - from;
      if (this.#length > MAX_LINE) throw new Error(`a line of more than ${MAX_LINE} bytes`);
      this.#rest.push(chunk.subarray(from));
    }
    return lines;
  }
}
