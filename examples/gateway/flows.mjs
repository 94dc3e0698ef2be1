// flows.mjs: the two ends of an authorization flow, as a browser sees them.
//
// The flow is bound to the browser that began it by a random value in a cookie, which PostgreSQL has only the hash of.
// One cookie a flow, named by the flow's state, so that two tabs do not take each other's.  When the flow has ended, another
// one remembers how, so that the callback's page can be loaded again and says what is so.
//
// What cannot keep a cookie of ours begins without: a page of another origin, whose script gets none.  Such a flow
// is finished by whoever PostgreSQL knows as the person who began it, by the application's own cookie, or not at all.
import { randomBytes } from 'node:crypto';
import { dropCookie, readCookies, setCookie } from './cookies.mjs';
import { shortDigest } from './secrets.mjs';
import { visitorJwt } from './visitor.mjs';

export const CALLBACK = '/api/external-auth/callback';

const FLOW_SECONDS = 900; // appuser_connectors.authorization_lifetime
const ENDED_SECONDS = 900;
const SHARED = '__Host-flow'; // where a URL does not show its state

const flowCookie = (state) => (state ? `${SHARED}-${shortDigest(state)}` : SHARED);
const endedCookie = (state) => `__Host-ended-${shortDigest(state)}`;

function keepsCookies(request, config) {
	if (config.binding !== 'auto') return config.binding === 'cookie';
	const site = request.headers['sec-fetch-site']; // of every browser; a program may hand the cookie on
	return site === undefined || site === 'same-origin' || site === 'none';
}

// Begins a flow for the person of the JWT, and gives the browser its cookie; returns the URL to send it to.
// allow(appUser), if given, may throw.
export async function beginFlow({ config, database }, request, reply, jwt, {
	connectorId, connectionName = 'default', returnTo = null, scopes = null, connectionConfig = null, allow = () => {},
}) {
	const shared = readCookies(request).get(SHARED)?.split('.')[0];
	const binding = keepsCookies(request, config) ? shared ?? randomBytes(32).toString('base64url') : null;
	const url = await database.asAppUser(jwt, async (query, appUser) => {
		allow(appUser);
		const [row] = await query(
			`SELECT appuser_connectors.connect_app_user($1, connection_name => $2, redirect_uri => $3, return_to => $4, scopes => $5,
				connection_config => $6, browser_binding => $7) AS url`,
			[connectorId, connectionName, config.origin + CALLBACK, returnTo, scopes, connectionConfig, binding]);
		return row.url;
	});

	if (binding !== null) {
		const state = new URL(url).searchParams.get('state');
		setCookie(reply, flowCookie(state), `${binding}.${shortDigest(connectorId)}`, FLOW_SECONDS);
	}
	return url;
}

// How the flow of this state ended in this browser, as far as it knows: { connectorId, failure, returnTo }
export function endedFlow(request, state) {
	try {
		const { connectorId, failure, returnTo } = JSON.parse(Buffer.from(readCookies(request).get(endedCookie(state)), 'base64url'));
		return { connectorId: String(connectorId), failure: failure === null ? null : String(failure), returnTo: ownPath(returnTo) };
	} catch {
		return null;
	}
}

function ownPath(value) {
	return typeof value === 'string' && /^\/(?![/\\])[\x21-\x7e]*$/.test(value) ? value : null;
}

// Has PostgreSQL finish the flow: the row of oauth_callback().
export async function finishFlow({ config, database, places, addressOf }, request, reply, params) {
	const cookies = readCookies(request);
	const name = [flowCookie(params.state), SHARED].find((cookie) => cookies.has(cookie));
	const [binding = null, connector] = name === undefined ? [] : cookies.get(name).split('.');
	const values = [params, config.origin + CALLBACK, binding];
	const finish = (query) => query(
		`SELECT connector_id, connection_name, return_to, failure
		FROM appuser_connectors.oauth_callback(NULL, params => $1, redirect_uri => $2, browser_binding => $3)`, values);
	// It tells the same when it is asked again, so a connection that breaks is no reason to stop.
	const ask = async () => {
		const jwt = visitorJwt(request, config);
		try {
			if (jwt !== null) return await database.asAppUser(jwt, finish, { read: true });
		} catch (error) {
			// the application's session may have ended meanwhile: the binding is then what there is
			if (error.code !== '28000' || binding === null) throw error;
		}
		return database.asService(finish, { read: true });
	};

	// The connector is what the browser's cookie says, which it could change: so all callbacks together, and those of one
	// address, leave places as well.
	const [row] = await places.run({ person: `at ${addressOf(request)}`, callbacks: 'all', connector }, () => askAgain(ask, binding !== null));
	if (name !== undefined && name !== SHARED) dropCookie(reply, name);
	const returnTo = row.return_to !== null && row.return_to.length <= 1024 ? row.return_to : null;
	setCookie(reply, endedCookie(params.state), Buffer.from(JSON.stringify({ connectorId: row.connector_id, failure: row.failure, returnTo })).toString('base64url'), ENDED_SECONDS);
	return { connectorId: row.connector_id, connectionName: row.connection_name, returnTo: row.return_to, failure: row.failure };
}

// A second tab with the same callback, or a reload, comes while the first is still under way; then this one is refused
// until that has ended.
async function askAgain(ask, isBound) {
	for (let tries = isBound ? 5 : 1; ; tries--)
		try {
			return await ask();
		} catch (error) {
			if (error.code !== 'UC005' || tries === 1) throw error;
			await new Promise((resolve) => { setTimeout(resolve, 400); });
		}
}
