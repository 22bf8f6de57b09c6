// SPDX-License-Identifier: Apache-2.0
import { Type } from 'typebox';
import { closed, mapOf } from './common.js';

const count = (description: string) => Type.Integer({ minimum: 0, description });
const figures = {
  picks: count('how often it was chosen: neither affinity nor an earlier choice counts'),
  flows: count('opened, packet by packet'),
  sockets: count('connections translated as they were made, whose packets are not counted'),
  packets: count('both directions'),
  bytes: count('both directions'),
  active: count("flows open, as of the collector's last pass"),
};

export const BackendStats = Type.Object(figures, {
  ...closed,
  description: 'since it became a backend; only where one service is shown',
});

export const ServiceStats = Type.Object(
  {
    ...figures,
    refused: mapOf(Type.Integer({ minimum: 0 }), 'connections, by reason: no_backend, port, source'),
  },
  {
    ...closed,
    description: 'of its backends together, those that have left included; only where one service is shown',
  },
);
