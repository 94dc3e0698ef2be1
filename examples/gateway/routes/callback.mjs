// callback.mjs: where the provider sends the browser back to.
import { dropCookie, readCookies } from '../cookies.mjs';
import { flowCookie } from '../flows.mjs';
import { Problem } from '../problems.mjs';

const CALLBACK = '/api/external-auth/callback';

function parameters(pairs) {
	const params = {};
	for (const name of new Set(pairs.keys())) {
		const values = pairs.getAll(name);
		params[name] = values.length === 1 ? values[0] : values; // a repeated parameter is refused
	}
	return params;
}

// The page that the person goes on to is told why it was not connected, in the parameter failure; pages show
// their own words for it.  A path stays a path.
function withFailure(returnTo, failure) {
	if (!failure) return returnTo;
	const [, before, fragment] = /^([^#]*)(.*)$/s.exec(returnTo);
	return `${before}${before.includes('?') ? '&' : '?'}failure=${encodeURIComponent(failure)}${fragment}`;
}

export async function callback(app, { config, database }) {
	app.get(CALLBACK, { config: { page: true } }, async (request, reply) => {
		const params = parameters(new URL(request.url, config.origin).searchParams);
		if (typeof params.state !== 'string') throw new Problem(400, 'authorization_failed', 'Please begin again.');
		const cookie = flowCookie(params.state);
		const binding = readCookies(request).get(cookie) ?? null;
		const [ended] = await database.asService((query) => query(
			'SELECT connector_id, return_to, failure FROM appuser_connectors.oauth_callback(NULL, params => $1, redirect_uri => $2, browser_binding => $3)',
			[params, `${config.origin}${CALLBACK}`, binding]));
		dropCookie(reply, cookie);
		return reply.redirect(withFailure(ended.return_to ?? config.home, ended.failure), 303);
	});
}
