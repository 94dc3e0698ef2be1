// problems.mjs: what went wrong, as HTTP says it.
//
// A body is a problem (RFC 9457) that also has what the SDK reads: {"error": {"code", "message"}}.
// Neither holds a secret, nor the database's own words: those are in the log, under the request's id.

export class Problem extends Error {
	constructor(status, code, message, headers = {}) {
		super(message);
		Object.assign(this, { status, problem: code, headers });
	}
}

const AGAIN = { 'retry-after': '60' };
const SOON = { 'retry-after': '5' };

// docs/errors.md of the extension has the same table with what each means.
const BY_SQLSTATE = {
	28000: [401, 'not_authenticated', 'Sign in again.'],
	UC001: [404, 'connection_not_found', 'You have not connected this account.'],
	UC002: [409, 'reconnect_required', 'The connection no longer works, or lacks a permission: connect again.'],
	UC003: [503, 'provider_unavailable', 'The provider does not answer. Try again in a minute.', AGAIN],
	UC004: [502, 'connector_misconfigured', 'This connector is out of order. An administrator must look at it.'],
	UC005: [400, 'authorization_failed', 'Please begin again: this link is old, was used, or belongs to another browser or person.'],
	UC006: [404, 'connector_not_found', 'There is no such connector.'],
	UC007: [503, 'worker_not_running', 'This is not possible just now. Try again later.', AGAIN],
	UC008: [503, 'key_unavailable', 'This is out of order. An administrator must look at it.', AGAIN],
	UC009: [503, 'copy_held', 'This is out of order. An administrator must look at it.', AGAIN],
	22023: [400, 'invalid_request', 'The request is not valid.'],
	22021: [400, 'invalid_request', 'The request is not valid.'],
	22004: [400, 'invalid_request', 'The request is not valid.'],
	54000: [409, 'too_many_connections', 'There are as many connections as are allowed: disconnect one first.'],
	'08006': [503, 'database_unavailable', 'The service cannot reach its database. Try again in a moment.', SOON],
	53300: [503, 'database_unavailable', 'The service is busy. Try again in a moment.', SOON],
	'57P03': [503, 'database_unavailable', 'The service cannot reach its database. Try again in a moment.', SOON],
	57014: [503, 'database_unavailable', 'The service is busy. Try again in a moment.', SOON],
};

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
	if (known) return new Problem(...known);
	const mistake = BY_STATUS[error.statusCode] ?? (error.statusCode >= 400 && error.statusCode < 500 ? BY_STATUS[400] : undefined);
	if (mistake) return new Problem(error.statusCode, ...mistake);
	return new Problem(500, 'internal_error', 'Something went wrong. It has been recorded.');
}

export function problemBody(problem, id) {
	return {
		type: 'about:blank',
		title: problem.message,
		status: problem.status,
		instance: `urn:uuid:${id}`,
		error: { code: problem.problem, message: problem.message },
	};
}
