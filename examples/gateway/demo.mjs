// demo.mjs: sign-in of a demonstration: whoever asks to be alice is alice.  It exists only with GATEWAY_DEMO=1.
//
// It is an issuer of JWTs like the application's own: its key is made at each start, and its public half
// registered in the database; from there on its logins are verified like any other.
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import { dropCookie, setCookie } from './cookies.mjs';
import { html, layout } from './pages/layout.mjs';
import { Problem } from './problems.mjs';
import { requireOwnPage } from './visitor.mjs';

export const DEMO_USERS = ['alice', 'bob'];
const ISSUER = 'https://demo.invalid';
const AUDIENCE = 'gateway-demo';
const HOURS = 8;

export async function demo(app, { config, database }) {
	const users = [...new Set([...DEMO_USERS, ...config.admins])];
	const { publicKey, privateKey } = await generateKeyPair('ES256');
	const jwk = { ...(await exportJWK(publicKey)), kid: 'demo', alg: 'ES256', use: 'sig' };
	await database.asAdmin((query) => query(
		'SELECT appuser_connectors.register_issuer($1, jwks => $2, audiences => $3, algorithms => $4)',
		[ISSUER, { keys: [jwk] }, [AUDIENCE], ['ES256']]));

	const jwtFor = (user) => new SignJWT({}).setProtectedHeader({ alg: 'ES256', kid: 'demo' })
		.setIssuer(ISSUER).setAudience(AUDIENCE).setSubject(user).setIssuedAt().setExpirationTime(`${HOURS}h`).sign(privateKey);

	app.get('/demo', { config: { page: true } }, async (_request, reply) => reply.type('text/html; charset=utf-8').send(layout({
		title: 'Sign in',
		body: html`<p>This is a demonstration: be whom you like.</p>
${users.map((user) => html`<form method="post" action="/demo/login"><button name="user" value="${user}">Sign in as ${user}</button></form>`)}
<form method="post" action="/demo/logout"><button>Sign out</button></form>`,
	})));

	app.post('/demo/login', { config: { page: true } }, async (request, reply) => {
		requireOwnPage(request, { config });
		const user = request.body?.get?.('user');
		if (!users.includes(user)) throw new Problem(400, 'invalid_request', 'There is no such demo user.');
		setCookie(reply, config.visitorCookie, await jwtFor(user), HOURS * 3600);
		return reply.redirect(config.home, 303);
	});

	app.post('/demo/logout', { config: { page: true } }, async (request, reply) => {
		requireOwnPage(request, { config });
		dropCookie(reply, config.visitorCookie);
		return reply.redirect('/demo', 303);
	});

	// For programs that play the signed-in application, such as the SDK on a server
	app.post('/demo/token', async (request) => {
		if (request.headers.origin !== undefined) requireOwnPage(request, { config }); // a page, of whatever name
		const user = request.body?.get?.('user') ?? request.body?.user;
		if (!users.includes(user)) throw new Problem(400, 'invalid_request', 'There is no such demo user.');
		return { token: await jwtFor(user) };
	});
}
