// SPDX-License-Identifier: Apache-2.0
/** Every schema that has a name in the OpenAPI document. */
import { ConntrackStatsSchema, FlowSchema, FlushedSchema, FlushPlanSchema } from './conntrack.js';
import { AdoptionSchema, DockerStatusSchema, OrphanSchema, OrphansPrunedSchema } from './docker.js';
import {
  EndpointSchema,
  ErrorSchema,
  EventSchema,
  NetworkSchema,
  PlanSchema,
  PortMappingSchema,
  PrunedSchema,
  PrunePlanSchema,
  RowSchema,
  SandboxSchema,
  ServiceSchema,
} from './objects.js';
import { RestoredSchema, RestorePlanSchema, StateSchema } from './state.js';
import { StatusSchema, TableSchema } from './status.js';

export const COMPONENTS = [
  NetworkSchema,
  SandboxSchema,
  PortMappingSchema,
  EndpointSchema,
  ServiceSchema,
  RowSchema,
  PlanSchema,
  PrunePlanSchema,
  PrunedSchema,
  ErrorSchema,
  EventSchema,
  TableSchema,
  StateSchema,
  StatusSchema,
  RestoredSchema,
  RestorePlanSchema,
  FlowSchema,
  FlushedSchema,
  FlushPlanSchema,
  ConntrackStatsSchema,
  DockerStatusSchema,
  OrphanSchema,
  OrphansPrunedSchema,
  AdoptionSchema,
];
