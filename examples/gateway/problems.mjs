// problems.mjs: what went wrong, as HTTP says it.
//
// A body is a problem (RFC 9457) that also has what the SDK reads: {"error": {"code", "message"}}.
// Neither holds a secret, nor the database's own words: those are in the log, under the request's id.

const TYPE = 'urn:appuser-connectors:problem:';

// code: a SQLSTATE of the extension, or a name of ours, for programs; name: what it is called
export class Problem extends Error {
	constructor(status, code, message, headers = {}, name = code) {
		super(message);
		Object.assign(this, { status, problem: code, headers, kind: name });
	}
}

const AGAIN = { 'retry-after': '60' };
const SOON = { 'retry-after': '5' };

// docs/errors.md of the extension says what each means.
const BY_SQLSTATE = {
	28000: [401, 'not_authenticated', 'Sign in again.', { 'www-authenticate': 'Bearer error="invalid_token"' }],
	UC001: [404, 'connection_not_found', 'You have not connected this account.'],
	UC002: [409, 'reconnect_required', 'The connection no longer works, or lacks a permission: connect again.'],
	UC003: [503, 'provider_unavailable', 'The provider does not answer. Try again in a minute.', AGAIN],
	UC004: [502, 'connector_misconfigured', 'This connector is out of order. An administrator must look at it.'],
	UC005: [400, 'authorization_failed', 'Please begin again: this link is old, was used, or belongs to another browser or person.'],
	UC006: [404, 'connector_not_found', 'There is no such connector.'],
	UC007: [503, 'worker_not_running', 'This is not possible just now. Try again later.', AGAIN],
	UC008: [503, 'key_unavailable', 'This is out of order. An administrator must look at it.', AGAIN],
	UC009: [503, 'copy_held', 'This is out of order. An administrator must look at it.', AGAIN],
	54000: [409, 'too_many_connections', 'There are as many connections as are allowed: disconnect one first.'],
};
for (const code of ['22004', '22021', '22023', '22P02', '22P05'])
	BY_SQLSTATE[code] = [400, 'invalid_request', 'The request is not valid.'];
for (const code of ['08006', '53300', '57014', '57P03'])
	BY_SQLSTATE[code] = [503, 'database_unavailable', 'The service cannot reach its database. Try again in a moment.', SOON];

const BY_STATUS = {
	400: ['invalid_request', 'The request is not valid.'],
	404: ['not_found', 'There is nothing here.'],
	405: ['method_not_allowed', 'This cannot be done here.'],
	413: ['too_large', 'The request is too large.'],
	414: ['too_large', 'The request is too large.'],
	415: ['unsupported_media_type', 'The request is of a kind that is not read here.'],
	431: ['too_large', 'The request is too large.'],
};

// Any error as a Problem; one that nobody foresaw is 500 and says nothing.
export function problemOf(error) {
	if (error instanceof Problem) return error;
	const known = BY_SQLSTATE[error.code];
	if (known) {
		const [status, name, message, headers] = known;
		return new Problem(status, error.code, message, headers, name);
	}
	if (error.statusCode >= 400 && error.statusCode < 500) return new Problem(error.statusCode, ...(BY_STATUS[error.statusCode] ?? BY_STATUS[400]));
	return new Problem(500, 'internal_error', 'Something went wrong. It has been recorded.');
}

export function problemBody(problem, id) {
	return {
		type: TYPE + problem.kind,
		title: problem.message,
		status: problem.status,
		instance: `urn:uuid:${id}`,
		error: { code: problem.problem, message: problem.message },
	};
}
