// connectors.mjs: the three routes of the SDK.
//
//   POST   …/connectors/{id}/initiate   the person's JWT in Authorization → { redirect_url }
//   GET    …/connectors/{id}/token      the service secret in Authorization, the person's JWT in on-behalf-of
//                                        → { access_token, connection_config }
//   DELETE …/connectors/{id}            the person's JWT in Authorization → { disconnected }
//
// The SDK sends no body.  initiate takes one all the same: { return_to, connection_name, scopes, connection_config }, and
// DELETE ?connection_name=…, GET ?connection_name=…
import { timingSafeEqual } from 'node:crypto';
import { beginFlow } from '../flows.mjs';
import { openLimit, refuseIfTooOften } from '../limits.mjs';
import { Problem } from '../problems.mjs';
import { digest, shortDigest } from '../secrets.mjs';
import { allowOrigin, answerPreflight } from '../security.mjs';
import { bearer } from '../visitor.mjs';

const CONNECTOR = '/api/apps/:appId/app-user-auth/connectors/:connectorId';
const WRONG_SECRETS_PER_MINUTE = 20;

export async function connectors(app, services) {
	const { config, database, places, people, metrics } = services;
	const secret = digest(config.serviceSecret);
	const wrongSecrets = openLimit({ perMinute: WRONG_SECRETS_PER_MINUTE });

	app.addHook('onRequest', async (request, reply) => {
		reply.header('vary', 'Origin');
		if (request.params.appId !== undefined && request.params.appId !== config.appId)
			throw new Problem(404, 'app_not_found', 'There is no such application here.');
	});

	function personsJwt(request) {
		const jwt = bearer(request.headers.authorization);
		if (jwt === null) throw new Problem(401, 'not_authenticated', 'Sign in first.', { 'www-authenticate': 'Bearer' });
		refuseIfTooOften(services.byPerson, people.of(shortDigest(jwt)), metrics, 'person');
		return jwt;
	}

	// by script, of configured origins' pages only
	async function forPages(request, reply) {
		if (!allowOrigin(request, reply, config)) throw new Problem(403, 'foreign_origin', 'Pages of this origin may not call this.');
	}

	app.options(`${CONNECTOR}/initiate`, async (request, reply) => answerPreflight(request, reply, config, ['POST']));
	app.options(CONNECTOR, async (request, reply) => answerPreflight(request, reply, config, ['DELETE']));

	app.post(`${CONNECTOR}/initiate`, { onRequest: forPages }, async (request, reply) => {
		const { return_to: returnTo, connection_name: connectionName, scopes, connection_config: connectionConfig } = request.body ?? {};
		const redirect = await beginFlow(services, request, reply, personsJwt(request), {
			connectorId: request.params.connectorId,
			returnTo: text(returnTo, 'return_to'),
			connectionName: text(connectionName, 'connection_name') ?? undefined,
			scopes: texts(scopes, 'scopes'),
			connectionConfig: values(connectionConfig, 'connection_config'),
			allow: (appUser) => refuseIfTooOften(services.flows, appUser, metrics, 'flows'),
		});
		return { redirect_url: redirect };
	});

	// Only programs of the application call it, from few addresses and for many people: what is bounded is how often
	// one person's token is asked for, and how often an address does not know the secret.
	app.get(`${CONNECTOR}/token`, { config: { unlimited: true } }, async (request) => {
		const given = bearer(request.headers.authorization);
		if (given === null || !timingSafeEqual(digest(given), secret)) {
			refuseIfTooOften(wrongSecrets, services.addressOf(request), metrics, 'wrong secret');
			throw new Problem(401, 'not_authenticated', 'This needs the service secret.', { 'www-authenticate': 'Bearer' });
		}
		const jwt = bearer(request.headers['on-behalf-of']);
		if (jwt === null) throw new Problem(401, 'not_authenticated', 'This needs the JWT of the person that it is for, in on-behalf-of.');
		const seen = shortDigest(jwt);
		const person = people.of(seen);
		refuseIfTooOften(services.byPerson, person, metrics, 'person');
		const { connectorId } = request.params;
		const name = text(request.query.connection_name, 'connection_name') ?? 'default';
		const { appUser, rows: [connection] } = await places.run({ person, connector: shortDigest(connectorId) }, () => database.readAsService(jwt,
			'SELECT access_token, connection_config FROM appuser_connectors.current_app_user_connection($1, $2)', [connectorId, name]));
		people.learn(seen, appUser);
		return connection;
	});

	app.delete(CONNECTOR, { onRequest: forPages }, async (request) => {
		const name = text(request.query.connection_name, 'connection_name') ?? 'default';
		const [{ disconnected }] = await database.asAppUser(personsJwt(request), (query) => query(
			'SELECT appuser_connectors.disconnect_app_user($1, $2) AS disconnected', [request.params.connectorId, name]));
		return { disconnected };
	});
}

// What the database could not read it would repeat, in its log and in ours.
function texts(value, name) {
	if (value === undefined || value === null) return null;
	if (!Array.isArray(value) || value.some((item) => typeof item !== 'string' || item.includes('\0'))) throw new Problem(400, 'invalid_request', `${name} must be a list of texts.`);
	return value;
}

function values(value, name) {
	if (value === undefined || value === null) return null;
	if (typeof value !== 'object' || Array.isArray(value)) throw new Problem(400, 'invalid_request', `${name} must be an object.`);
	for (const [key, item] of Object.entries(value)) {
		text(key, name);
		if (typeof item !== 'number' && typeof item !== 'boolean') text(item, name);
	}
	return value;
}

function text(value, name) {
	if (value === undefined || value === null) return null;
	if (typeof value !== 'string' || value.includes('\0')) throw new Problem(400, 'invalid_request', `${name} must be a text.`);
	return value;
}
