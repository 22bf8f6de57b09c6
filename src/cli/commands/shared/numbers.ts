// SPDX-License-Identifier: Apache-2.0
import { usage } from '../../failure.js';

export function wholeNumber(text: string | undefined, flag: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw usage(`${flag} ${text}: not a whole number`);
}

export function weightOf(text: string | undefined): number | undefined {
  return wholeNumber(text, '--weight');
}
