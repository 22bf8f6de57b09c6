// SPDX-License-Identifier: Apache-2.0
import { SluiceError } from '../../base/errors.js';
import { bridgeDriver } from './bridge.js';
import type { Driver } from './driver.js';
import { hostDriver } from './host.js';
import { macvlanDriver } from './macvlan.js';
import { nullDriver } from './null.js';

const DRIVERS: readonly Driver[] = [bridgeDriver, macvlanDriver, hostDriver, nullDriver];

/** Of the public interface, but not in this version. */
const LATER: readonly string[] = ['overlay'];

export const DEFAULT_DRIVER = bridgeDriver.name;

export function findDriver(name: string): Driver {
  const driver = DRIVERS.find((candidate) => candidate.name === name);
  if (driver) return driver;
  const known = DRIVERS.map((candidate) => candidate.name).join(', ');
  if (LATER.includes(name)) {
    throw new SluiceError('unsupported', `driver '${name}' is not supported yet`, {
      field: 'driver',
      hint: `the drivers are ${known}`,
    });
  }
  throw new SluiceError('invalid_argument', `there is no driver '${name}'`, {
    field: 'driver',
    hint: `the drivers are ${known}`,
  });
}
