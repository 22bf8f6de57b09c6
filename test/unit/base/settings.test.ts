// SPDX-License-Identifier: Apache-2.0
import { expect, it } from 'vitest';
import { settle } from '../../../src/base/settings.js';

const refusing = (code: string, present: string) => ({
  read: async () => `${present}\n`,
  write: () => Promise.reject(Object.assign(new Error(code), { code })),
});

it('writes', async () => {
  const written: string[] = [];
  await settle('net/a', '1', { read: async () => '0', write: async (value) => void written.push(value) });
  expect(written).toEqual(['1']);
});

it.each(['EROFS', 'EACCES', 'EPERM'])(
  'takes what is right where nothing may be written (%s), and says what is not',
  async (code) => {
    await settle('net/a', '1', refusing(code, '1'));
    await expect(settle('net/a', '1', refusing(code, '0'))).rejects.toMatchObject({
      code: 'environment',
      message: `net/a is 0 and must be 1, and cannot be written (${code})`,
      hint: expect.stringContaining('/proc/sys is read-only'),
    });
  },
);

it('passes other failures on, as that of a device that is gone', async () => {
  await expect(settle('net/a', '1', refusing('ENOENT', '1'))).rejects.toMatchObject({ code: 'ENOENT' });
});
