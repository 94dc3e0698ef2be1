// callback.mjs: where the provider sends the browser back to.  It ends on the page that the flow names, or on one that
// says what is so.
import { CALLBACK, endedFlow, finishFlow } from '../flows.mjs';
import { noticePage } from '../pages/notice.mjs';
import { problemOf } from '../problems.mjs';

const MOST_PARAMETERS = 8 * 1024; // bytes, of a form that becomes a query

export async function callback(app, services) {
	const { config } = services;
	const page = { config: { page: true } };
	const notice = (reply, status, kind, values) => reply.code(status).type('text/html; charset=utf-8')
		.header('referrer-policy', 'no-referrer').send(noticePage(kind, { home: config.home, ...values }));

	app.get(CALLBACK, page, async (request, reply) => {
		// A browser that looks ahead must not spend the code, and not keep what it got for later either.
		if (/prefetch|prerender/i.test([request.headers['sec-purpose'], request.headers.purpose, request.headers['x-moz']].join()))
			return notice(reply, 503, 'prefetch');
		const params = parameters(new URL(request.url, config.origin).searchParams);
		if (typeof params.state !== 'string' || params.state === '') return notice(reply, 400, 'nothing');

		const before = endedFlow(request, params.state);
		if (before) return notice(reply, 200, before.failure === null ? 'done' : 'ended', { home: before.returnTo ?? config.home, connector: before.connectorId, failure: before.failure });
		try {
			const ended = await finishFlow(services, request, reply, params);
			return reply.header('referrer-policy', 'no-referrer').redirect(back(ended, config), 303);
		} catch (error) {
			const problem = problemOf(error);
			if (error.code === '28000') return notice(reply, 401, 'signIn', { id: request.id });
			if (error.code !== 'UC005') throw error;
			request.log.info({ req: request, err: error }, 'refused');
			return notice(reply, problem.status, 'refused', { id: request.id });
		}
	});

	// Providers that answer by a form (response_mode=form_post).  Cookies do not come with a form of another site; they do
	// with the GET that it is made.
	app.post(CALLBACK, page, async (request, reply) => {
		if (!(request.body instanceof URLSearchParams)) return notice(reply, 400, 'nothing');
		request.body.delete('id_token'); // nobody reads it there, and it is no use in a history
		const query = request.body.toString();
		if (query.length > MOST_PARAMETERS) return notice(reply, 400, 'nothing');
		return reply.header('referrer-policy', 'no-referrer').redirect(`${CALLBACK}?${query}`, 303);
	});
}

function parameters(pairs) {
	const params = {};
	for (const name of new Set(pairs.keys())) {
		const values = pairs.getAll(name);
		// by defineProperty: "__proto__" is a name like any other
		Object.defineProperty(params, name, { value: values.length === 1 ? values[0] : values, enumerable: true }); // a repeated parameter is refused
	}
	return params;
}

// Where the person was, told how it ended
function back({ connectorId, connectionName, returnTo, failure }, config) {
	const url = new URL(returnTo ?? config.home, config.origin);
	url.searchParams.set('connector', connectorId);
	if (connectionName !== 'default') url.searchParams.set('connection', connectionName);
	if (failure === null) url.searchParams.set('connected', '1');
	else url.searchParams.set('failure', failure);
	const path = url.href.slice(url.origin.length);
	// a path that begins with "//" would be another site's address, if it stood alone
	return url.origin === config.origin && !path.startsWith('//') ? path : url.href;
}
