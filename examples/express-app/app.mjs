// The routes that the SDK calls and the provider's callback, on Express: see README.md.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import express from 'express';
import pg from 'pg';

const { APP_ORIGIN = 'http://127.0.0.1:8000', RETURN_TO = '/', SERVICE_SECRET } = process.env;
if (!SERVICE_SECRET) throw new Error('set SERVICE_SECRET, which your backend functions send');
const CALLBACK = '/api/external-auth/callback';
const CONNECTOR = '/api/apps/:app/app-user-auth/connectors/:id';

// Two roles: people's own requests cannot read a token, whatever is wrong in here.
const frontend = new pg.Pool({ user: process.env.FRONTEND_ROLE ?? 'app_frontend' });
const backend = new pg.Pool({ user: process.env.BACKEND_ROLE ?? 'app_backend' });
for (const pool of [frontend, backend]) {
	pool.on('error', (error) => console.error(`an idle connection broke: ${error.message}`));
	pool.on('connect', (client) => client.on('error', () => {})); // in use: whoever waits for its answer is told, too
}

class Refusal extends Error {
	constructor(code, message) { super(message); this.code = code; }
}
const bearer = (header) => /^Bearer (\S+)$/.exec(header ?? '')?.[1];
const digest = (text) => createHash('sha256').update(text ?? '').digest();

// One statement for the person whom the JWT names; PostgreSQL verifies it. The app user ends with the transaction.
async function asAppUser(pool, jwt, text, values) {
	if (!jwt) throw new Refusal('28000', 'there is no token that says who you are');
	const client = await pool.connect();
	let broken;
	try {
		await client.query('BEGIN');
		await client.query('SELECT appuser_connectors.authenticate_app_user($1)', [jwt]);
		const { rows: [row] } = await client.query(text, values);
		await client.query('COMMIT');
		return row;
	} catch (error) {
		await client.query('ROLLBACK').catch((e) => { broken = e; });
		throw error;
	} finally {
		client.release(broken);
	}
}

// A cookie for each flow, so that two tabs do not take each other's. On https no site beside this one can set it: "__Host-".
const SECURE = APP_ORIGIN.startsWith('https:');
const cookieName = (state) => `${SECURE ? '__Host-' : ''}connect-${digest(state).toString('hex').slice(0, 16)}`;
const cookie = (request, name) => new RegExp(`(?:^|; *)${name}=([^;]*)`).exec(request.headers.cookie ?? '')?.[1];

const app = express().disable('x-powered-by');
app.use((request, response, next) => {
	response.set({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff' });
	next();
});

app.post(`${CONNECTOR}/initiate`, async (request, response) => {
	const binding = randomBytes(32).toString('base64url');
	const { url } = await asAppUser(frontend, bearer(request.headers.authorization),
		'SELECT appuser_connectors.connect_app_user($1, return_to => $2, browser_binding => $3) AS url', [request.params.id, RETURN_TO, binding]);
	response.cookie(cookieName(/[?&]state=([^&#]+)/.exec(url)?.[1]), binding, // some have it behind a #
		{ httpOnly: true, secure: SECURE, sameSite: 'lax', path: SECURE ? '/' : CALLBACK, maxAge: 900_000 });
	response.json({ redirect_url: url });
});

app.get(`${CONNECTOR}/token`, async (request, response) => {
	if (!timingSafeEqual(digest(bearer(request.headers.authorization)), digest(SERVICE_SECRET))) throw new Refusal('28000', 'this route is for the service');
	response.json(await asAppUser(backend, bearer(request.headers['on-behalf-of']),
		'SELECT access_token, connection_config FROM appuser_connectors.current_app_user_connection($1)', [request.params.id]));
});

app.delete(CONNECTOR, async (request, response) => {
	await asAppUser(frontend, bearer(request.headers.authorization), 'SELECT appuser_connectors.disconnect_app_user($1)', [request.params.id]);
	response.json({});
});

app.get(CALLBACK, async (request, response) => {
	const binding = cookie(request, cookieName(String(request.query.state)));
	const { rows: [{ return_to: returnTo, failure }] } = await backend.query( // a repeated parameter is an array, and refused
		'SELECT return_to, failure FROM appuser_connectors.oauth_callback(NULL, params => $1, browser_binding => $2)', [request.query, binding]);
	const to = new URL(returnTo, APP_ORIGIN);
	if (failure) to.searchParams.set('failure', failure);
	response.redirect(303, to.href);
});

// docs/errors.md: what an application has to tell apart.
const STATUS = { '22023': 400, '28000': 401, 54000: 409, UC001: 404, UC002: 409, UC003: 503, UC004: 502, UC005: 400, UC006: 404, UC007: 503, UC008: 503, UC009: 503 };
app.use((request, response) => response.status(404).json({ error: { code: 'not_found', message: 'there is no such page' } }));
app.use((error, request, response, next) => {
	const status = STATUS[error.code] ?? (/^(08|53|57P|E[A-Z]{4})/.test(error.code) ? 503 : error.status ?? 500);
	if (status >= 500) console.error(error.message);
	const message = STATUS[error.code] ? error.message : 'something went wrong';
	response.status(status).json({ error: { code: String(error.code ?? status), message } });
});

const { PORT = new URL(APP_ORIGIN).port || 8000 } = process.env;
app.listen(PORT, '127.0.0.1', (error) => { if (error) throw error; console.log(`listening on port ${PORT}`); });
