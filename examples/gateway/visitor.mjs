// visitor.mjs: who looks at a page.  The application's own JWT says so: in the cookie or the header that the
// configuration names.  Nothing is believed here: the JWT goes to authenticate_app_user() in PostgreSQL.
import { readCookies } from './cookies.mjs';
import { Problem } from './problems.mjs';
import { isOwnPage } from './security.mjs';

// The JWT, or null
export function visitorJwt(request, config) {
	if (config.visitorHeader !== undefined) {
		const value = request.headers[config.visitorHeader];
		const [, token] = /^(?:Bearer )?([^\s,]+)$/.exec(value ?? '') ?? [];
		if (token !== undefined) return token;
	}
	return readCookies(request).get(config.visitorCookie) || null;
}

// "Authorization: Bearer …" and the like: the one token, or null
export function bearer(value) {
	const [, token] = /^Bearer ([\x21-\x7e]+)$/i.exec(value ?? '') ?? [];
	return token ?? null;
}

// { jwt, appUser, isAdmin } of whoever looks at a page; an error (401) where nobody is signed in
export async function requireVisitor(request, { config, database }) {
	const jwt = visitorJwt(request, config);
	if (jwt === null) throw new Problem(401, 'not_authenticated', 'Sign in first.');
	const [{ app_user: appUser }] = await database.asAppUser(jwt,
		(query) => query('SELECT appuser_connectors.current_app_user() AS app_user'), { read: true });
	return { jwt, appUser, isAdmin: Boolean(database.asAdmin) && config.admins.includes(appUser) };
}

// Before anything is done as the admin role: only for whom GATEWAY_ADMINS names
export async function requireAdmin(request, services) {
	const visitor = await requireVisitor(request, services);
	if (!visitor.isAdmin) throw new Problem(403, 'not_an_admin', 'This is for administrators.');
	if (!services.database.asAdmin) throw new Problem(404, 'not_found', 'There is nothing here.');
	return visitor;
}

// Before a form's POST changes anything
export function requireOwnPage(request, { config }) {
	if (!isOwnPage(request, config)) throw new Problem(403, 'foreign_origin', 'This was not sent by a page of this site.');
}
