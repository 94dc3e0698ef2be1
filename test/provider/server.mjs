// server.mjs: a real OAuth 2.0 / OpenID Connect server for the tests.
//
//   node server.mjs [--config JSON|FILE] [--certificates DIR] [--lifetime SECONDS]
//
// It is the npm package oidc-provider with storage of its own, login and
// consent pages, and a control door for tests.  It listens on a free loopback
// port, prints one line of JSON when it is ready and exits when its standard
// input closes or its lifetime is over.
//
// Configuration (all optional):
//   clients             [{client_id, client_secret, token_endpoint_auth_method,
//                         redirect_uris, …}], anything RFC 7591 names
//   redirect_uris       for clients that name none
//   tls                 true; false serves http
//   host                "127.0.0.1" or "localhost", as it appears in the issuer
//   port                0
//   access_token_ttl, refresh_token_ttl, code_ttl, id_token_ttl   seconds
//   rotate              true: each refresh replaces the refresh token, and the
//                       use of a replaced one ends the grant
//   grace               0: seconds for which a replaced refresh token still works
//   refresh_tokens      true; false issues none
//   id_token_alg        "ES256", or RS256, PS256, EdDSA
//   pkce                true: required
//   scopes              what may be asked for
//   accounts            {name: {claims}}; any other name signs in as well
//
// Control, for the tests only:
//   GET  /__ctl              counters
//   GET  /__ctl/grants       live grants with their tokens, by account and client
//   GET  /__ctl/issued       every code and token ever handed out
//   GET  /__ctl/log          every token, revocation and userinfo request, in order;
//                            ?from=N leaves out the first N
//   POST /__ctl              {set: {…configuration above that may change}},
//                            {clients: [{client_id, client_secret, …}]},
//                            {revoke: {account, client_id}}, {reset: true},
//                            {faults: [FAULT]}, {release: true}
//   FAULT {path, method, client_id, grant_type, when, times, …}: the path as
//         requested; `when` is "before" the server acts (the default) or "after"
//         it has done all it does and the answer is about to leave.  Then:
//         hold (until released), delay_ms, drop (reset the connection), truncate (in the
//         middle of the body, and drop), status, headers, body.
//
// What is said of a request in the log: at, path, status, client_id, error, account, grant_id …; of
// the answer sent_at (NULL: it did not leave, or only in part) and the fault that befell it.
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { execFileSync } from 'node:child_process';
import { parseArgs } from 'node:util';

// oidc-provider announces on import that it would like a newer Node.
console.warn = console.info = () => {};
const { Provider } = await import('oidc-provider');
const { loginPage, consentPage, errorPage } = await import('./pages.mjs');

const { values: args } = parseArgs({
	options: {
		config: { type: 'string', default: '{}' },
		certificates: { type: 'string' },
		lifetime: { type: 'string', default: '900' },
		verbose: { type: 'boolean', default: false },
	},
});
const here = path.dirname(new URL(import.meta.url).pathname);
const given = args.config.trimStart().startsWith('{')
	? JSON.parse(args.config) : JSON.parse(fs.readFileSync(args.config, 'utf8'));
const settings = {
	tls: true,
	host: '127.0.0.1',
	port: 0,
	access_token_ttl: 3600,
	refresh_token_ttl: 14 * 86400,
	code_ttl: 60,
	id_token_ttl: 3600,
	rotate: true,
	grace: 0,
	refresh_tokens: true,
	id_token_alg: 'ES256',
	pkce: true,
	scopes: ['openid', 'offline_access', 'profile', 'email', 'read', 'write'],
	accounts: {},
	redirect_uris: ['http://127.0.0.1:7999/callback'],
	clients: [
		{ client_id: 'app', client_secret: 'app secret: 100%+/&=', token_endpoint_auth_method: 'client_secret_basic' },
		{ client_id: 'app-post', client_secret: 'post secret: 100%+/&=', token_endpoint_auth_method: 'client_secret_post' },
	],
};
for (const name of Object.keys(given)) {
	if (!(name in settings)) {
		console.error(`server.mjs: unknown setting "${name}", known are: ${Object.keys(settings).join(', ')}`);
		process.exit(2);
	}
}
Object.assign(settings, given);

const now = () => Math.floor(Date.now() / 1000);

// ---------------------------------------------------------------- storage
// The package's own memory store forgets entries beyond a thousand, so that a
// busy test would see live refresh tokens refused.
const entries = new Map(); // "Model:id" -> {model, id, payload, expires}
const ofGrant = new Map(); // grant id -> set of keys
const sessionIds = new Map(); // session uid -> id
const TOKENS = { AuthorizationCode: 'codes', AccessToken: 'access_tokens', RefreshToken: 'refresh_tokens' };
const issued = { codes: [], access_tokens: [], refresh_tokens: [], id_tokens: [] };

class Store {
	constructor(model) {
		this.model = model;
	}

	key(id) {
		return `${this.model}:${id}`;
	}

	async upsert(id, payload, expiresIn) {
		const key = this.key(id);
		if (TOKENS[this.model] && !entries.has(key)) issued[TOKENS[this.model]].push(id);
		entries.set(key, { model: this.model, id, payload, expires: expiresIn ? now() + expiresIn + 5 : Infinity });
		if (payload.grantId && TOKENS[this.model]) {
			if (!ofGrant.has(payload.grantId)) ofGrant.set(payload.grantId, new Set());
			ofGrant.get(payload.grantId).add(key);
		}
		if (this.model === 'Session') sessionIds.set(payload.uid, id);
	}

	async find(id) {
		const key = this.key(id);
		const entry = entries.get(key);
		if (!entry) return undefined;
		if (entry.expires < now()) {
			entries.delete(key);
			return undefined;
		}
		if (this.model === 'RefreshToken' && entry.consumedAt && Date.now() - entry.consumedAt < settings.grace * 1000) {
			const { consumed, ...payload } = entry.payload;
			return payload;
		}
		return entry.payload;
	}

	async findByUid(uid) {
		return this.find(sessionIds.get(uid));
	}

	async findByUserCode() {
		return undefined;
	}

	async consume(id) {
		const entry = entries.get(this.key(id));
		if (!entry) return;
		entry.payload.consumed = now();
		entry.consumedAt ??= Date.now();
	}

	async destroy(id) {
		entries.delete(this.key(id));
	}

	async revokeByGrantId(grantId) {
		for (const key of ofGrant.get(grantId) ?? []) entries.delete(key);
		ofGrant.delete(grantId);
	}
}

function putClients(clients) {
	for (const client of clients) {
		const key = `Client:${client.client_id}`;
		const payload = {
			redirect_uris: settings.redirect_uris,
			grant_types: ['authorization_code', 'refresh_token'],
			response_types: ['code'],
			application_type: 'native', // so that loopback redirect URIs are allowed
			token_endpoint_auth_method: client.client_secret ? 'client_secret_basic' : 'none',
			id_token_signed_response_alg: settings.id_token_alg,
			...entries.get(key)?.payload,
			...client,
		};
		if (payload.redirect_uris.some((uri) => uri.startsWith('https:')) && client.application_type === undefined)
			payload.application_type = 'web';
		entries.set(key, { model: 'Client', id: client.client_id, payload, expires: Infinity });
	}
}

function liveGrants() {
	const grants = [];
	for (const entry of entries.values()) {
		if (entry.model !== 'Grant') continue;
		const { accountId, clientId, openid } = entry.payload;
		const live = { account: accountId, client_id: clientId, grant_id: entry.id, scope: openid?.scope ?? '', access_tokens: [], refresh_tokens: [], replaced_refresh_tokens: [] };
		for (const key of ofGrant.get(entry.id) ?? []) {
			const token = entries.get(key);
			if (!token || token.payload.exp <= now()) continue;
			if (token.model === 'AccessToken') live.access_tokens.push(token.id);
			if (token.model === 'RefreshToken') (token.payload.consumed ? live.replaced_refresh_tokens : live.refresh_tokens).push(token.id);
		}
		grants.push(live);
	}
	return grants;
}

function revokeAtProvider({ account, client_id: clientId }) {
	let n = 0;
	for (const [key, entry] of entries) {
		if (entry.model !== 'Grant') continue;
		if (account !== undefined && entry.payload.accountId !== account) continue;
		if (clientId !== undefined && entry.payload.clientId !== clientId) continue;
		new Store('').revokeByGrantId(entry.id);
		entries.delete(key);
		n++;
	}
	return n;
}

setInterval(() => {
	const t = now();
	for (const [key, entry] of entries) {
		if (entry.expires >= t) continue;
		entries.delete(key);
		ofGrant.get(entry.payload.grantId)?.delete(key);
	}
}, 30000).unref();

// --------------------------------------------------------------- counters
const counters = {};
let log = [];
const faults = [];
let held = [];

function resetCounters() {
	Object.assign(counters, { requests: {}, grants: {}, by_client: {}, revocations: 0, userinfo: 0, logins: 0, consents: 0, refusals: 0, faulted: 0, concurrent: 0, max_concurrent: 0 });
	log = [];
}
resetCounters();

function bump(object, ...names) {
	const last = names.pop();
	for (const name of names) object = object[name] ??= {};
	object[last] = (object[last] ?? 0) + 1;
}

// Returns what it has put into the log.
function record(ctx) {
	const { path: where, oidc } = ctx;
	const params = oidc?.params ?? {};
	const entry = { at: Date.now(), path: where, status: ctx.status, client_id: oidc?.client?.clientId };
	if (where === '/token') {
		entry.grant_type = params.grant_type;
		entry.error = ctx.body?.error;
		entry.account = oidc?.account?.accountId;
		entry.grant_id = oidc?.entities?.Grant?.jti;
		entry.scope = ctx.body?.scope;
		const outcome = entry.error ?? 'ok';
		bump(counters.grants, params.grant_type ?? 'none', outcome);
		bump(counters.by_client, entry.client_id ?? 'unknown', params.grant_type ?? 'none', outcome);
		if (ctx.body?.id_token) issued.id_tokens.push(ctx.body.id_token);
	} else if (where === '/token/revocation') {
		entry.token_type_hint = params.token_type_hint;
		entry.token = params.token;
		counters.revocations++;
		bump(counters.by_client, entry.client_id ?? 'unknown', 'revocation', ctx.status === 200 ? 'ok' : 'error');
	} else if (where === '/me') {
		entry.account = oidc?.account?.accountId;
		counters.userinfo++;
	} else {
		return undefined;
	}
	entry.sent_at = null;
	ctx.res.once('finish', () => { if (!ctx.req.socket.destroyed) entry.sent_at = Date.now(); });
	log.push(entry);
	return entry;
}

// ------------------------------------------------------------------- keys
function signingKeys() {
	const make = (type, options, extra) => ({
		...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', ...extra,
	});
	const keys = [make('ec', { namedCurve: 'P-256' }, { kid: 'es256', alg: 'ES256' })];
	if (/^(RS|PS)/.test(settings.id_token_alg))
		keys.push(make('rsa', { modulusLength: 2048 }, { kid: 'rsa', alg: settings.id_token_alg }));
	if (settings.id_token_alg === 'EdDSA') keys.push(make('ed25519', {}, { kid: 'eddsa', alg: 'EdDSA' }));
	return keys;
}

const configuration = {
	adapter: Store,
	jwks: { keys: signingKeys() },
	cookies: { keys: [crypto.randomBytes(32).toString('hex')] },
	scopes: settings.scopes,
	claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
	pkce: { required: () => settings.pkce },
	issueRefreshToken: async (_ctx, client) => settings.refresh_tokens && client.grantTypeAllowed('refresh_token'),
	rotateRefreshToken: () => settings.rotate,
	expiresWithSession: async () => false,
	clockTolerance: 0,
	conformIdTokenClaims: false,
	enabledJWA: {
		idTokenSigningAlgValues: ['ES256', 'EdDSA', 'RS256', 'PS256'],
	},
	findAccount: async (_ctx, sub) => ({
		accountId: sub,
		claims: async () => ({ sub, name: `Account ${sub}`, email: `${sub}@example.test`, email_verified: true, ...settings.accounts[sub] }),
	}),
	interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
	renderError: async (ctx, out) => {
		ctx.type = 'html';
		ctx.body = errorPage(out);
	},
	features: {
		devInteractions: { enabled: false },
		revocation: { enabled: true },
		introspection: { enabled: true, allowedPolicy: (_ctx, client, token) => token.clientId === client.clientId },
		rpInitiatedLogout: { enabled: false },
		userinfo: { enabled: true },
	},
	ttl: {
		AccessToken: () => settings.access_token_ttl,
		RefreshToken: () => settings.refresh_token_ttl,
		AuthorizationCode: () => settings.code_ttl,
		IdToken: () => settings.id_token_ttl,
		Grant: () => settings.refresh_token_ttl,
		Session: () => 86400,
		Interaction: () => 600,
	},
};

// ----------------------------------------------------- the pages, and faults
async function readForm(req) {
	let body = '';
	for await (const chunk of req) body += chunk;
	return new URLSearchParams(body);
}

async function interact(provider, ctx) {
	const details = await provider.interactionDetails(ctx.req, ctx.res);
	const { prompt, params, session, uid } = details;
	const client = await provider.Client.find(params.client_id);
	const clientName = client.clientName ?? client.clientId;

	if (ctx.method === 'GET') {
		ctx.type = 'html';
		ctx.set('cache-control', 'no-store');
		ctx.body = prompt.name === 'login'
			? loginPage({ uid, clientName, hint: params.login_hint })
			: consentPage({ uid, clientName, account: session.accountId, scopes: prompt.details.missingOIDCScope ?? [] });
		return;
	}

	const form = await readForm(ctx.req);
	let result;
	if (form.get('action') !== 'allow' && form.get('action') !== 'login') {
		counters.refusals++;
		result = { error: 'access_denied', error_description: 'The account holder refused.' };
	} else if (prompt.name === 'login') {
		counters.logins++;
		result = { login: { accountId: form.get('account') } };
	} else {
		counters.consents++;
		const grant = details.grantId
			? await provider.Grant.find(details.grantId)
			: new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
		const chosen = form.getAll('scope');
		for (const scope of prompt.details.missingOIDCScope ?? [])
			if (scope === 'openid' || chosen.includes(scope)) grant.addOIDCScope(scope);
			else grant.rejectOIDCScope(scope);
		if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
		result = { consent: { grantId: await grant.save() } };
	}
	ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result, { mergeWithLastSubmission: prompt.name !== 'login' }));
	ctx.status = 303;
}

function basicClient(ctx) {
	const [, value] = /^Basic (.+)$/i.exec(ctx.get('authorization')) ?? [];
	return value && decodeURIComponent(Buffer.from(value, 'base64').toString().split(':')[0].replace(/\+/g, ' '));
}

function takeFault(when, ctx) {
	const client = ctx.oidc?.client?.clientId ?? basicClient(ctx);
	const fault = faults.find((f) => (f.when ?? 'before') === when
		&& f.path === ctx.path
		&& (f.method ?? ctx.method) === ctx.method
		&& (f.client_id ?? client) === client
		&& (f.grant_type === undefined || f.grant_type === ctx.oidc?.params?.grant_type));
	if (!fault) return undefined;
	if (fault.times !== undefined && --fault.times <= 0) faults.splice(faults.indexOf(fault), 1);
	counters.faulted++;
	return fault;
}

// Returns true when the fault has made the answer.
async function suffer(fault, ctx) {
	if (fault.hold) await new Promise((resolve) => { held.push(resolve); ctx.req.socket.once('close', resolve); });
	if (fault.delay_ms) await new Promise((resolve) => { setTimeout(resolve, fault.delay_ms); });
	if (fault.drop) {
		ctx.respond = false;
		ctx.req.socket.destroy();
		return true;
	}
	if (fault.truncate) {
		const body = JSON.stringify(ctx.body);
		ctx.respond = false;
		ctx.res.writeHead(ctx.status, { 'content-type': 'application/json', 'content-length': body.length });
		ctx.res.write(body.slice(0, body.length >> 1), () => ctx.req.socket.destroy());
		return true;
	}
	if (fault.status === undefined && fault.body === undefined) return false;
	ctx.status = fault.status ?? 200;
	ctx.set({ 'content-type': 'application/json', 'cache-control': 'no-store', ...fault.headers });
	ctx.body = typeof fault.body === 'string' ? fault.body : JSON.stringify(fault.body ?? {});
	return true;
}

async function control(req, res) {
	const answer = (status, value) => {
		res.writeHead(status, { 'content-type': 'application/json' });
		res.end(`${JSON.stringify(value)}\n`);
	};
	const url = new URL(req.url, 'http://ctl');
	if (req.method === 'POST') {
		let body = '';
		for await (const chunk of req) body += chunk;
		let order;
		try {
			order = JSON.parse(body);
		} catch (error) {
			return answer(400, { error: String(error) });
		}
		const known = ['set', 'clients', 'revoke', 'reset', 'faults', 'release'];
		const stray = [...Object.keys(order).filter((name) => !known.includes(name)),
			...Object.keys(order.set ?? {}).filter((name) => !(name in settings))];
		if (stray.length) return answer(400, { error: `unknown: ${stray.join(', ')}` });
		const done = {};
		if (order.set) Object.assign(settings, order.set);
		if (order.clients) putClients(order.clients);
		if (order.revoke) done.revoked = revokeAtProvider(order.revoke);
		if (order.faults) faults.splice(0, Infinity, ...order.faults);
		if (order.reset) resetCounters();
		if (order.release) {
			done.released = held.length;
			for (const resolve of held.splice(0)) resolve();
		}
		return answer(200, done);
	}
	switch (url.pathname) {
		case '/__ctl': return answer(200, { ...counters, held: held.length, faults, entries: entries.size, issued: Object.fromEntries(Object.entries(issued).map(([k, v]) => [k, v.length])) });
		case '/__ctl/grants': return answer(200, liveGrants());
		case '/__ctl/issued': return answer(200, issued);
		case '/__ctl/log': return answer(200, log.slice(Number(url.searchParams.get('from') ?? 0)));
		default: return answer(404, { error: 'no such page' });
	}
}

// ---------------------------------------------------------------- serving
let madeHere;
let certificates = args.certificates;
if (settings.tls && !certificates) {
	certificates = madeHere = fs.mkdtempSync(path.join(os.tmpdir(), 'provider-'));
	execFileSync(path.join(here, 'make-certificates'), [certificates], { stdio: ['ignore', 'ignore', 'inherit'] });
}
const server = settings.tls
	? https.createServer({
		cert: fs.readFileSync(path.join(certificates, 'localhost.pem')),
		key: fs.readFileSync(path.join(certificates, 'localhost-key.pem')),
	})
	: http.createServer();
server.keepAliveTimeout = 60000;

function stop() {
	if (madeHere) fs.rmSync(madeHere, { recursive: true, force: true });
	process.exit(0);
}
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, stop);
process.stdin.on('end', stop).on('close', stop).on('error', stop).resume();
setTimeout(stop, Number(args.lifetime) * 1000);

server.listen(settings.port, settings.host === 'localhost' ? '127.0.0.1' : settings.host, () => {
	const { port } = server.address();
	const issuer = `${settings.tls ? 'https' : 'http'}://${settings.host}:${port}`;
	putClients(settings.clients);
	const provider = new Provider(issuer, configuration);
	if (args.verbose)
		for (const event of ['grant.error', 'authorization.error', 'server_error', 'userinfo.error', 'revocation.error', 'grant.revoked'])
			provider.on(event, (_ctx, error) => console.error(event, error?.error ?? '', error?.error_description ?? '', error?.error_detail ?? error?.stack ?? ''));

	provider.use(async (ctx, next) => {
		bump(counters.requests, `${ctx.method} ${ctx.path.replace(/^\/(interaction|auth)\/.*/, '/$1/:uid')}`);
		counters.max_concurrent = Math.max(counters.max_concurrent, ++counters.concurrent);
		try {
			const before = takeFault('before', ctx);
			if (before && await suffer(before, ctx)) return;
			if (ctx.path.startsWith('/interaction/')) {
				await interact(provider, ctx);
				return;
			}
			await next();
			const entry = record(ctx);
			const after = takeFault('after', ctx);
			if (entry && after) entry.fault = after;
			if (after) await suffer(after, ctx);
		} finally {
			counters.concurrent--;
		}
	});
	const handle = provider.callback();
	server.on('request', (req, res) => (req.url.startsWith('/__ctl') ? control(req, res) : handle(req, res)));

	console.log(JSON.stringify({
		ready: true,
		pid: process.pid,
		issuer,
		port,
		ca: certificates && path.join(certificates, 'ca.pem'),
		clients: settings.clients.map((client) => client.client_id),
		definition: {
			issuer,
			authorization_endpoint: `${issuer}/auth`,
			token_endpoint: `${issuer}/token`,
			revocation_endpoint: `${issuer}/token/revocation`,
			jwks_uri: `${issuer}/jwks`,
			userinfo_endpoint: `${issuer}/me`,
			authorization_response_iss_parameter_supported: true,
		},
	}));
});
