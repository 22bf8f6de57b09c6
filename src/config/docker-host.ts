// SPDX-License-Identifier: Apache-2.0

/** Where a Docker Engine listens. */
export interface DockerHost {
  /** As the user wrote it. */
  readonly url: string;
  readonly at: { readonly socketPath: string } | { readonly host: string; readonly port: number };
}

/** Docker's own port for its API without TLS. */
const TCP_PORT = 2375;

/** `unix:///PATH` or `tcp://HOST[:PORT]`, as DOCKER_HOST has it. Throws `Error` with what is wrong. */
export function parseDockerHost(url: string): DockerHost {
  const socketPath = /^unix:\/\/(\/.+)$/.exec(url)?.[1];
  if (socketPath !== undefined) return { url, at: { socketPath } };
  const match = /^tcp:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^:/[\]]+))(?::(\d{1,5}))?\/?$/.exec(url);
  const port = Number(match?.[3] ?? TCP_PORT);
  if (match === null || port < 1 || port > 65535) {
    throw new Error(
      `'${url}' is not the address of a Docker Engine; write unix:///PATH or tcp://HOST:PORT, without TLS`,
    );
  }
  return { url, at: { host: (match[1] ?? match[2]) as string, port } };
}
