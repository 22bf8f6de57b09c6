// SPDX-License-Identifier: Apache-2.0
/** The edge where whatever was thrown becomes a status and `{code, message, field?, hint?}`. */
import type { FastifyError, FastifyInstance } from 'fastify';
import { SluiceError, toSluiceError } from '../base/errors.js';
import type { Log } from '../base/log.js';

const SCHEMA_HINT = 'GET /v1/openapi.json lists what there is';

export function installErrors(app: FastifyInstance, log: Log): void {
  app.setErrorHandler(async (thrown: unknown, request, reply) => {
    const { status, error } = translate(thrown);
    if (status >= 500) log.error('request failed', { method: request.method, url: request.url, err: thrown });
    return reply.code(status).send(error.toJSON());
  });
  app.setNotFoundHandler(async (request, reply) => {
    const error = new SluiceError('not_found', `there is no ${request.method} ${request.url.split('?')[0]}`, {
      hint: SCHEMA_HINT,
    });
    return reply.code(404).send(error.toJSON());
  });
}

/** Statuses of HTTP itself (413, 415) go beyond those of the codes. */
export function translate(thrown: unknown): { status: number; error: SluiceError } {
  if (thrown instanceof SluiceError) return { status: thrown.status, error: thrown };
  const { code, statusCode, message } = thrown as Partial<FastifyError>;
  const refuse = (status: number, what: string, hint: string) => ({
    status,
    error: new SluiceError('invalid_argument', what, { hint, cause: thrown }),
  });
  if (thrown instanceof SyntaxError && statusCode === 400) {
    return refuse(400, `the body is not JSON: ${message}`, 'send a JSON object');
  }
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
    case 'FST_ERR_CTP_INVALID_TYPE':
      return refuse(415, 'the body is not said to be JSON', 'send it with Content-Type: application/json');
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return refuse(413, 'the body is too large', 'send less at a time');
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return refuse(400, 'the body is not JSON', 'send a JSON object');
    case 'FST_ERR_BAD_URL':
      return refuse(400, 'the path is malformed', 'encode it as a URL');
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return refuse(statusCode, message ?? 'bad request', SCHEMA_HINT);
  }
  return { status: 500, error: toSluiceError(thrown, 'request') };
}
