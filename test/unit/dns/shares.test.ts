// SPDX-License-Identifier: Apache-2.0
import { expect, test } from 'vitest';
import { Shares } from '../../../src/dns/shares.js';

function takeAll(room: Shares, asker: string): number {
  let taken = 0;
  while (room.take(asker)) taken++;
  return taken;
}

test('one alone has half of the room, and each that comes finds as much as is free', () => {
  const room = new Shares(1_000);
  expect(takeAll(room, 'a')).toBe(500);
  expect(takeAll(room, 'b')).toBe(250);
  expect(takeAll(room, 'c')).toBe(125);
  expect(room.total).toBe(875);
  for (let i = 0; i < 500; i++) room.give('a');
  expect(room.total).toBe(375);
  expect(takeAll(room, 'b')).toBeGreaterThan(100);
});

test('a hundred greedy ones, in turn, leave room for a modest one', () => {
  const room = new Shares(8_192);
  const greedy = Array.from({ length: 100 }, (_, i) => `g${i}`);
  for (let round = 0; round < 1_000; round++) for (const one of greedy) room.take(one);
  let modest = 0;
  while (room.take('modest')) modest++;
  expect(modest).toBeGreaterThanOrEqual(40);
  expect(room.total).toBeLessThanOrEqual(8_192);
});

test('who waits is let in in turn, one asker after the other', () => {
  const room = new Shares(4);
  const order: string[] = [];
  for (const asker of ['a', 'a', 'a', 'a', 'b', 'b', 'b']) room.wait(asker, () => order.push(asker));
  expect(order).toEqual(['a', 'a', 'b']);
  room.give('b');
  expect(order).toEqual(['a', 'a', 'b', 'b']);
  for (let at = 0; order.length < 7; at++) room.give(order[at] as string);
  expect(order).toEqual(['a', 'a', 'b', 'b', 'a', 'b', 'a']);
});

test('who withdraws is passed over', () => {
  const room = new Shares(2);
  const order: string[] = [];
  room.take('x');
  const withdraw = room.wait('x', () => order.push('withdrawn'));
  room.wait('x', () => order.push('second'));
  withdraw();
  withdraw();
  room.give('x');
  expect(order).toEqual(['second']);
  room.give('x');
  expect(room.total).toBe(0);
});
