// flows.mjs: an authorization flow's two ends, as the browser sees them: the cookie that binds a flow to
// the browser that began it, and what is done with the callback.
//
// One cookie a flow, named by its state, so that two tabs do not take each other's.
import { createHash, randomBytes } from 'node:crypto';
import { setCookie } from './cookies.mjs';

export const FLOW_SECONDS = 900; // appuser_connectors.authorization_lifetime

export function flowCookie(state) {
	return `__Host-flow-${createHash('sha256').update(state).digest('base64url').slice(0, 22)}`;
}

// Begins a flow for the person of the JWT, and gives the browser its cookie; the URL to send it to.
export async function beginFlow({ config, database }, _request, reply, jwt, { connectorId, connectionName = 'default', returnTo = null }) {
	const binding = randomBytes(32).toString('base64url');
	const [{ url }] = await database.asAppUser(jwt, (query) => query(
		`SELECT appuser_connectors.connect_app_user($1, connection_name => $2, redirect_uri => $3, return_to => $4, browser_binding => $5) AS url`,
		[connectorId, connectionName, `${config.origin}/api/external-auth/callback`, returnTo, binding]));
	setCookie(reply, flowCookie(new URL(url).searchParams.get('state')), binding, FLOW_SECONDS);
	return url;
}
