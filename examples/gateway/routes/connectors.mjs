// connectors.mjs: the three routes of the SDK.
//
//   POST   …/connectors/{id}/initiate   the person's JWT in Authorization → { redirect_url }
//   GET    …/connectors/{id}/token      the service secret in Authorization, the person's JWT in on-behalf-of
//                                        → { access_token, connection_config }
//   DELETE …/connectors/{id}            the person's JWT in Authorization → { disconnected }
import { createHash, timingSafeEqual } from 'node:crypto';
import { beginFlow } from '../flows.mjs';
import { Problem } from '../problems.mjs';
import { allowOrigin, answerPreflight } from '../security.mjs';
import { bearer } from '../visitor.mjs';

const CONNECTOR = '/api/apps/:appId/app-user-auth/connectors/:connectorId';

const digest = (text) => createHash('sha256').update(text).digest();

export async function connectors(app, { config, database }) {
	const secret = digest(config.serviceSecret);

	app.addHook('onRequest', async (request) => {
		if (request.params.appId !== undefined && request.params.appId !== config.appId)
			throw new Problem(404, 'app_not_found', 'There is no such application here.');
	});

	function personsJwt(request) {
		const jwt = bearer(request.headers.authorization);
		if (jwt === null) throw new Problem(401, 'not_authenticated', 'Sign in first.', { 'www-authenticate': 'Bearer' });
		return jwt;
	}

	function forPages(request, reply) {
		if (!allowOrigin(request, reply, config)) throw new Problem(403, 'foreign_origin', 'Pages of this origin may not call this.');
	}

	app.options(`${CONNECTOR}/initiate`, async (request, reply) => answerPreflight(request, reply, config, ['POST']));
	app.options(CONNECTOR, async (request, reply) => answerPreflight(request, reply, config, ['DELETE']));

	app.post(`${CONNECTOR}/initiate`, async (request, reply) => {
		forPages(request, reply);
		return { redirect_url: await beginFlow({ config, database }, request, reply, personsJwt(request), { connectorId: request.params.connectorId }) };
	});

	app.get(`${CONNECTOR}/token`, async (request) => {
		const given = bearer(request.headers.authorization);
		if (given === null || !timingSafeEqual(digest(given), secret))
			throw new Problem(401, 'not_authenticated', 'This needs the service secret.', { 'www-authenticate': 'Bearer' });
		const jwt = bearer(request.headers['on-behalf-of']);
		if (jwt === null) throw new Problem(401, 'not_authenticated', 'This needs the JWT of the person that it is for, in on-behalf-of.');
		const [connection] = await database.asServiceFor(jwt, (query) => query(
			'SELECT access_token, connection_config FROM appuser_connectors.current_app_user_connection($1)', [request.params.connectorId]), { read: true });
		return connection;
	});

	app.delete(CONNECTOR, async (request, reply) => {
		forPages(request, reply);
		const [{ disconnected }] = await database.asAppUser(personsJwt(request), (query) => query(
			'SELECT appuser_connectors.disconnect_app_user($1) AS disconnected', [request.params.connectorId]));
		return { disconnected };
	});
}
