// log.mjs: what is logged, one line of JSON each.  Never a header, a body, a query or a bind parameter: the
// secrets of this service are in these.  A request is known by its id, its route, its answer.

export function logOptions(config) {
	return {
		level: config.logLevel,
		base: undefined,
		timestamp: () => `,"time":"${new Date().toISOString()}"`,
		formatters: { level: (level) => ({ level }) },
		serializers: {
			req: (request) => ({ method: request.method, route: request.routeOptions?.url ?? null, address: request.ip }),
			res: (reply) => ({ status: reply.statusCode }),
			err: describeError,
		},
	};
}

// Of an error of PostgreSQL its code and words, which hold no secret; not its position in a
// statement nor the statement.
export function describeError(error) {
	if (!(error instanceof Error)) return { message: 'something that is no error was thrown' };
	const { name, message, code, detail, hint, cause } = error;
	return {
		name, message, code, detail, hint,
		...(cause instanceof Error && { cause: describeError(cause) }),
		...(code === undefined && { stack: error.stack }),
	};
}
