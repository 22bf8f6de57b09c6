// SPDX-License-Identifier: Apache-2.0
/** The labels by which our objects say whose they are in Docker. */

/** On an endpoint: Docker's id of it. */
export const ENDPOINT_LABEL = 'sluice.docker.endpoint';
/** On a network: Docker's id of it. */
export const NETWORK_LABEL = 'sluice.docker.network';
