// log.mjs: what is logged, one line of JSON each.  Never a header, a body, a query or a bind parameter: the
// secrets of this service are in these.  A request is known by its id, its route, its answer.

// Standard output as Node has it: whoever reads it may go away, and the service goes on.
process.stdout.on('error', () => {});
const stream = { write: (line) => process.stdout.write(line) };

export function logOptions(config) {
	return {
		stream,
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
	const { name, message, code, detail, hint, cause, problem } = error;
	return {
		name, message, code: code ?? problem, hint,
		// what was wrong with a value, such as of JSON, quotes it
		...(!String(code).startsWith('22') && { detail }),
		...(cause instanceof Error && { cause: describeError(cause) }),
		...(code === undefined && problem === undefined && { stack: error.stack }),
	};
}
