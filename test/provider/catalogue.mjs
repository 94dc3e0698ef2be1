#!/usr/bin/env node
// catalogue.mjs --providers DIR --certificate FILE --key FILE [--lifetime SECONDS]
//
// Plays the endpoints of every provider in DIR (sql/providers), each as its own file says: a second reading
// of the definitions, by other code than the extension's. Prints one line {"ready":true,"url":...,"pid":...}
// and exits when its standard input closes, or after its lifetime (900 s).
//
// It is a forward proxy, to which any host is itself: CONNECT leads to TLS with the certificate given. With
// --hosts it prints the hosts that the certificate has to name, and exits.
//
// Each provider knows one client, "client.of.KEY" with the secret "secret of KEY". On the proxy's own port:
//   POST /__visit {"provider", "url", "values"}   a browser at the authorization URL: answers the callback's
//                                                 parameters, or {"objection"}; values are those of fields
//   GET  /__seen                                  {"objections":[...], "exchanged":{...}, "refreshed":{...}, "revoked":{...},
//                                                  "profiled":{...}}

import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { parseArgs } from 'node:util';

const { values: option } = parseArgs({
	options: {
		providers: { type: 'string' },
		certificate: { type: 'string' },
		key: { type: 'string' },
		values: { type: 'string' },
		hosts: { type: 'boolean' },
		lifetime: { type: 'string', default: '900' },
	},
});

const entries = new Map();
for (const file of fs.readdirSync(option.providers).filter((name) => name.endsWith('.json'))) {
	const { name, definition } = JSON.parse(fs.readFileSync(path.join(option.providers, file)));
	if (definition) {
		const key = path.basename(file, '.json');
		entries.set(key, { key, name, definition, values: { client_id: `client.of.${key}` }, serial: 0, codes: new Map(), tokens: new Map() });
	}
}

// What stands for the fields: {"KEY": {"field": "value"}}
const given = JSON.parse(fs.readFileSync(option.values));
for (const [key, values] of Object.entries(given)) Object.assign(entries.get(key)?.values ?? {}, values);

const names = ['authorization_endpoint', 'token_endpoint', 'refresh_endpoint', 'long_token_endpoint', 'revocation_endpoint', 'profile'];
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
function endpoint(entry, name) {
	const template = name === 'profile' ? entry.definition.profile?.url : entry.definition[name];
	if (!template) return undefined;
	let url = fill(template, Object.fromEntries(Object.entries(entry.values).map(([field, value]) => [field, field === 'client_id' ? encodeURIComponent(value) : value])));
	if (template.startsWith('{')) url = url.replace(/(https:\/\/[^/]*)\/\//, '$1/');
	return new URL(url);
}

if (option.hosts) {
	const hosts = new Set();
	for (const entry of entries.values()) for (const name of names) { const url = endpoint(entry, name); if (url) hosts.add(url.hostname); }
	console.log([...hosts].join('\n'));
	process.exit(0);
}

const seen = { objections: [], exchanged: {}, refreshed: {}, revoked: {}, profiled: {} };
class Objection extends Error {}
function must(condition, text) { if (!condition) throw new Objection(text); }
function equal(actual, expected, what) { must(actual === expected, `${what} is ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`); }

// Parameters by their standard names; one that the provider calls otherwise must not come by that
function standard(params, renamed = {}, extras = {}) {
	const rest = new Map(params);
	for (const [name, here] of Object.entries(renamed)) {
		must(!rest.has(name) || here === name || name in extras, `${name} was sent`);
		if (here !== null && rest.has(here)) { const value = rest.get(here); rest.delete(here); rest.set(name, value); }
	}
	return rest;
}
function parameters(search) {
	const params = new Map();
	for (const [name, value] of search) { must(!params.has(name), `${name} came twice`); params.set(name, value); }
	return params;
}
const isSent = (renamed, name) => !renamed || renamed[name] !== null;
function take(params, name, expected) { equal(params.get(name), expected, name); params.delete(name); }
function takeExtras(params, extras, values) {
	for (const [name, template] of Object.entries(extras ?? {})) {
		const value = fill(template, values);
		if (/\{random\}/.test(template)) { must(params.get(name)?.length >= 16, `${name} is not random`); params.delete(name); }
		else take(params, name, value);
	}
}
function nothingElse(params) { must(params.size === 0, `what is this: ${[...params.keys()].join(', ')}`); }
function samePlace(url, expected) {
	equal(url.origin + url.pathname, expected.origin + expected.pathname, 'the URL');
	const rest = parameters(url.searchParams);
	for (const [name, value] of expected.searchParams) take(rest, name, value);
	return rest;
}

// The scopes of the test's connectors, in the requests that have them
function takeScopes(definition, kind, params) {
	if (!(definition.scope_requests ?? ['authorization']).includes(kind)) return;
	const name = definition.scope_parameter ?? 'scope';
	const scopes = [...new Set([...(definition.required_scopes ?? []), 'read', 'write', ...(definition.profile?.scopes ?? []).slice(0, 1)])].sort();
	equal(JSON.stringify((params.get(name) ?? '').split(definition.scope_separator ?? ' ').sort()), JSON.stringify(scopes), 'the scopes');
	params.delete(name);
}

function visit({ provider, url }) {
	const entry = entries.get(provider);
	const { definition, values } = entry;
	const renamed = definition.authorization_param_names;
	const fragment = definition.authorization_fragment;
	// parameters that are to follow the fragment stand there
	const at = new URL(fragment?.endsWith('?') ? url.replace(`#${fragment}`, '?') : url);
	const params = standard(samePlace(at, endpoint(entry, 'authorization_endpoint')), renamed, definition.authorization_params);
	const flow = {};

	must(!fragment?.endsWith('?') || url.includes(`#${fragment}`), 'there is no fragment');
	equal(at.hash, fragment && !fragment.endsWith('?') ? `#${fragment}` : '', 'the fragment');
	if (isSent(renamed, 'response_type')) take(params, 'response_type', definition.response_type ?? 'code');
	if (isSent(renamed, 'client_id')) take(params, 'client_id', values.client_id);
	if (isSent(renamed, 'redirect_uri')) take(params, 'redirect_uri', 'https://app.example/callback');
	flow.state = params.get('state');
	must(flow.state?.length >= 32, 'there is no state');
	params.delete('state');
	if (definition.pkce !== 'off') {
		take(params, 'code_challenge_method', definition.pkce ?? 'S256');
		flow.challenge = params.get('code_challenge');
		must(flow.challenge?.length >= 43, 'there is no challenge');
		params.delete('code_challenge');
	}
	if (!definition.authorization_params?.nonce) params.delete('nonce');
	takeScopes(definition, 'authorization', params);
	takeExtras(params, { ...definition.authorization_params }, values);
	nothingElse(params);

	const code = `code-${provider}-${++entry.serial}`;
	entry.codes.set(code, flow);
	const back = { [definition.callback_param_names?.code ?? 'code']: code, [definition.callback_param_names?.state ?? 'state']: flow.state };
	for (const [name, field] of Object.entries(definition.connection_config_fields ?? {}))
		if (field.source === 'callback') back[field.parameter ?? name] = values[name];
	if (definition.callback_hmac === 'shopify') {
		Object.assign(back, { shop: endpoint(entry, 'token_endpoint').hostname, timestamp: String(Math.floor(Date.now() / 1000)), host: 'YWRtaW4uc2hvcA' });
		back.hmac = crypto.createHmac('sha256', `secret of ${provider}`).update(Object.keys(back).sort().map((name) => `${name}=${encodeURIComponent(back[name])}`).join('&')).digest('hex');
	}
	return back;
}

// At a path of a JSON object, dotted or by pointer
function put(object, where, value) {
	const steps = where.startsWith('/') ? where.slice(1).split('/') : where.split('.');
	const decoded = where.startsWith('/') ? steps.map((step) => step.replace(/~1/g, '/').replace(/~0/g, '~')) : steps;
	decoded.slice(0, -1).forEach((step, n) => { object = object[step] ??= where.startsWith('/') && /^\d+$/.test(decoded[n + 1]) ? [] : {}; });
	object[decoded.at(-1)] = value;
}

function grant(entry) {
	const { definition } = entry;
	const serial = ++entry.serial;
	const answer = {};
	const tokens = { access: `at-${entry.key}-${serial}`, refresh: `rt-${entry.key}-${serial}` };
	const at = (name) => definition[`${name}_path`] ?? (definition.token_path ? `${definition.token_path}.${name}` : name);

	entry.tokens.set(tokens.access, 'access');
	entry.tokens.set(tokens.refresh, 'refresh');
	put(answer, at('access_token'), tokens.access);
	if (definition.refresh_style !== 'access_token') put(answer, at('refresh_token'), tokens.refresh);
	put(answer, definition.token_path ? `${definition.token_path}.token_type` : 'token_type', definition.token_types?.[0] ?? 'Bearer');
	if (definition.expires_at_path) {
		const when = Date.now() + 7200000;
		put(answer, definition.expires_at_path, { rfc3339: new Date(when).toISOString(), epoch: Math.floor(when / 1000), epoch_ms: when }[definition.expires_at_format]);
	} else if (!definition.default_expires_in) put(answer, at('expires_in'), 7200);
	if (definition.refresh_token_expires_in_path) put(answer, definition.refresh_token_expires_in_path, 30 * 86400);
	if (definition.error_path) put(answer, definition.error_path, definition.ok_values?.[0] ?? '0');
	for (const [name, field] of Object.entries(definition.connection_config_fields ?? {}))
		if (field.source === 'token_response') put(answer, field.path ?? name, entry.values[name]);
	return answer;
}

function authenticate(entry, request, params, renamed) {
	const { definition, values } = entry;
	const method = definition.token_endpoint_auth_method ?? 'client_secret_basic';
	const authorization = request.headers.authorization;
	const secret = `secret of ${entry.key}`;

	if (method === 'client_secret_basic') {
		const encode = definition.basic_encoding === 'raw' ? (text) => text : (text) => encodeURIComponent(text).replace(/%20/g, '+');
		equal(authorization, `Basic ${Buffer.from(`${encode(values.client_id)}:${encode(secret)}`).toString('base64')}`, 'Authorization');
		must(!params.has('client_secret'), 'client_secret was sent as well');
		params.delete('client_id');
		return;
	}
	equal(authorization, undefined, 'Authorization');
	if (isSent(renamed, 'client_id')) take(params, 'client_id', values.client_id);
	if (method === 'client_secret_post' && isSent(renamed, 'client_secret')) take(params, 'client_secret', secret);
	must(!params.has('client_secret'), 'client_secret was sent');
}

function tokenRequest(entry, kind, request, url, body) {
	const { definition, values } = entry;
	const renamed = kind === 'refresh' ? definition.refresh_param_names ?? {} : definition.token_param_names ?? {};
	const place = (kind === 'refresh' && endpoint(entry, 'refresh_endpoint')) || endpoint(entry, 'token_endpoint');
	const format = definition.token_body_format ?? 'form';
	const inQuery = samePlace(url, place);
	let params;

	equal(request.method, (kind === 'refresh' && definition.refresh_method) || definition.token_method || 'POST', 'the method');
	if (format === 'query' || request.method === 'GET') { params = inQuery; equal(body, '', 'the body'); }
	else {
		nothingElse(inQuery);
		equal((request.headers['content-type'] ?? '').split(';')[0], format === 'json' ? 'application/json' : 'application/x-www-form-urlencoded', 'the content type');
		params = format === 'json' ? new Map(Object.entries(JSON.parse(body))) : parameters(new URLSearchParams(body));
	}
	params = standard(params, renamed, kind === 'refresh' ? definition.refresh_params : definition.token_params);
	for (const [name, value] of Object.entries(definition.token_headers ?? {})) {
		const sent = request.headers[name.toLowerCase()];
		if (value === '{random}') must(sent?.length >= 16, `${name} is not random`);
		else equal(sent, fill(value, { ...values, client_secret: `secret of ${entry.key}` }), name);
	}
	authenticate(entry, request, params, renamed);
	if (isSent(renamed, 'grant_type')) take(params, 'grant_type', kind === 'refresh' ? 'refresh_token' : 'authorization_code');
	if (kind === 'refresh') {
		equal(entry.tokens.get(params.get('refresh_token')), definition.refresh_style === 'access_token' ? 'access' : 'refresh', 'the refresh token');
		entry.tokens.delete(params.get('refresh_token'));
		params.delete('refresh_token');
		takeScopes(definition, 'refresh', params);
		takeExtras(params, definition.refresh_params, { ...values, redirect_uri: 'https://app.example/callback' });
	} else {
		const flow = entry.codes.get(params.get('code'));
		must(flow, 'the code is unknown');
		entry.codes.delete(params.get('code'));
		params.delete('code');
		if (isSent(renamed, 'redirect_uri')) take(params, 'redirect_uri', 'https://app.example/callback');
		if (flow.challenge) {
			const verifier = params.get('code_verifier') ?? '';
			equal(definition.pkce === 'plain' ? verifier : crypto.createHash('sha256').update(verifier).digest('base64url'), flow.challenge, 'the challenge');
			params.delete('code_verifier');
		}
		takeScopes(definition, 'exchange', params);
		takeExtras(params, definition.token_params, { ...values, redirect_uri: 'https://app.example/callback', state: flow.state });
	}
	nothingElse(params);
	seen[kind === 'refresh' ? 'refreshed' : 'exchanged'][entry.key] = true;
	const answer = grant(entry);
	return definition.token_response_format === 'form'
		? { type: 'application/x-www-form-urlencoded', body: new URLSearchParams(answer).toString() }
		: { type: 'application/json', body: JSON.stringify(answer) };
}

// The access token of an exchange for one that lives longer
function longToken(entry, request, url) {
	const { definition, values } = entry;
	const renamed = definition.long_token_param_names ?? {};
	const params = standard(samePlace(url, endpoint(entry, 'long_token_endpoint')), renamed, definition.long_token_params);

	equal(request.method, 'GET', 'the method');
	authenticate(entry, request, params, renamed);
	equal(entry.tokens.get(params.get('access_token')), 'access', 'the short token');
	entry.tokens.delete(params.get('access_token'));
	params.delete('access_token');
	takeExtras(params, definition.long_token_params, values);
	nothingElse(params);
	return { type: 'application/json', body: JSON.stringify(grant(entry)) };
}

function revocation(entry, request, url, body) {
	const { definition, values } = entry;
	const how = definition.revocation ?? {};
	const format = how.body_format ?? (definition.token_body_format === 'json' ? 'json' : 'form');
	const name = how.token_parameter ?? 'token';
	const kind = how.tokens ?? (how.auth === 'bearer' ? 'access_token' : name);
	const inQuery = samePlace(url, endpoint(entry, 'revocation_endpoint'));
	let token;

	equal(request.method, how.method ?? 'POST', 'the method');
	nothingElse(inQuery);
	if (how.auth === 'bearer') {
		token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
		equal(body, '', 'the body');
		equal(request.headers['content-type'], undefined, 'the content type');
	} else {
		let params = format === 'json' ? new Map(Object.entries(JSON.parse(body))) : parameters(new URLSearchParams(body));
		if (definition.revocation) params = standard(params, definition.token_param_names ?? {});
		equal((request.headers['content-type'] ?? '').split(';')[0], format === 'json' ? 'application/json' : 'application/x-www-form-urlencoded', 'the content type');
		token = params.get(name);
		params.delete(name);
		if (!definition.revocation) params.delete('token_type_hint');
		if (how.auth === 'none') equal(request.headers.authorization, undefined, 'Authorization');
		else authenticate(how.auth ? { ...entry, definition: { ...definition, token_endpoint_auth_method: how.auth } } : entry, request, params, definition.token_param_names ?? {});
		nothingElse(params);
	}
	must(entry.tokens.has(token), 'the token is unknown');
	if (kind === 'access_token' || kind === 'refresh_token') equal(`${entry.tokens.get(token)}_token`, kind, 'the kind of token');
	for (const [name, value] of Object.entries(definition.token_headers ?? {})) {
		const sent = request.headers[name.toLowerCase()];
		if (value === '{random}') must(sent?.length >= 16, `${name} is not random`);
		else equal(sent, fill(value, { ...values, client_secret: `secret of ${entry.key}` }), name);
	}
	entry.tokens.delete(token);
	seen.revoked[entry.key] = true;
	return { type: 'application/json', body: '' };
}

// Whose account it is, by the access token alone, where the API takes that
function profile(entry, request, url, body) {
	const { definition, values } = entry;
	const { profile: how, api_authorization: placed = {} } = definition;
	const inQuery = samePlace(url, endpoint(entry, 'profile'));
	let token;

	equal(request.method, how.method ?? 'GET', 'the method');
	if (placed.query) { token = inQuery.get(placed.query); inQuery.delete(placed.query); }
	else {
		const scheme = placed.header ? placed.scheme : 'Bearer';
		const sent = request.headers[(placed.header ?? 'Authorization').toLowerCase()] ?? '';
		must(!scheme || sent.startsWith(`${scheme} `), 'the scheme is another');
		token = scheme ? sent.slice(scheme.length + 1) : sent;
	}
	nothingElse(inQuery);
	equal(entry.tokens.get(token), 'access', 'the access token');
	if ((placed.header ?? 'Authorization').toLowerCase() !== 'authorization' || placed.query) equal(request.headers.authorization, undefined, 'Authorization');
	for (const [name, value] of Object.entries({ ...definition.api_headers, ...how.headers })) {
		// what only the answer says cannot be in the question
		const known = !Object.entries(definition.connection_config_fields ?? {}).some(([field, { source }]) => source === 'profile' && value.includes(`{${field}}`));
		equal(request.headers[name.toLowerCase()], known ? fill(value, values) : undefined, name);
	}
	if (!how.body) { equal(body, '', 'the body'); equal(request.headers['content-type'], undefined, 'the content type'); }
	else if (how.body_format === 'form') {
		equal(request.headers['content-type'], 'application/x-www-form-urlencoded', 'the content type');
		equal(JSON.stringify(Object.fromEntries(new URLSearchParams(body))), JSON.stringify(how.body), 'the body');
	} else {
		equal(request.headers['content-type'], 'application/json', 'the content type');
		equal(JSON.stringify(JSON.parse(body)), JSON.stringify(how.body), 'the body');
	}
	const pointers = [how.id, how.email, how.name, ...Object.values(definition.connection_config_fields ?? {}).map((field) => field.path)];
	const answer = pointers.find((pointer) => pointer)?.match(/^\/\d+(\/|$)/) ? [] : {};
	// one may be the other
	if (how.email) put(answer, how.email, `somebody@${entry.key}.example`);
	if (how.name) put(answer, how.name, `Somebody of ${entry.key}`);
	if (how.id) put(answer, how.id, `account of ${entry.key}`);
	for (const [name, field] of Object.entries(definition.connection_config_fields ?? {}))
		if (field.source === 'profile') put(answer, field.path ?? `/${name}`, /^\d+$/.test(values[name]) ? Number(values[name]) : values[name]);
	seen.profiled[entry.key] = true;
	return { type: 'application/json', body: JSON.stringify(answer) };
}

// Whose request it is: by what it holds of one client
function whose(request, url, body) {
	const text = [url.search, body, ...Object.values(request.headers), Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString()]
		.map((part) => { try { return decodeURIComponent(part.replace(/\+/g, ' ')); } catch { return part; } }).join('\n');
	const key = text.match(/client\.of\.([a-z0-9_]+)/)?.[1] ?? text.match(/(?:at|rt|code)-([a-z0-9_]+)-\d+/)?.[1];
	must(entries.has(key), `no client is known by ${request.method} ${url.origin}${url.pathname}`);
	return entries.get(key);
}

function serve(request, response) {
	const chunks = [];
	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () => {
		const body = Buffer.concat(chunks).toString();
		const url = new URL(`https://${request.headers.host}${request.url}`);
		let entry;
		try {
			entry = whose(request, url, body);
			const revokes = endpoint(entry, 'revocation_endpoint');
			const isRevocation = revokes && revokes.host === url.host && revokes.pathname === url.pathname &&
				(entry.definition.revocation?.auth === 'bearer' || !/grant_type|code-|refresh_token=/.test(body + url.search) || revokes.pathname !== endpoint(entry, 'token_endpoint').pathname);
			const kind = (entry.definition.refresh_style === 'access_token' ? /\bat-[a-z0-9_]+-\d/ : /\brt-[a-z0-9_]+-\d/).test(decodeURIComponent((body + url.search).replace(/%(?![0-9a-f]{2})/gi, ''))) ? 'refresh' : 'code';
			const long = endpoint(entry, 'long_token_endpoint');
			const asks = endpoint(entry, 'profile');
			const answer = asks && asks.host === url.host && asks.pathname === url.pathname && !isRevocation ? profile(entry, request, url, body) : long && long.host === url.host && long.pathname === url.pathname ? longToken(entry, request, url) : isRevocation ? revocation(entry, request, url, body) : tokenRequest(entry, kind, request, url, body);
			response.writeHead(200, { 'content-type': answer.type, 'cache-control': 'no-store' });
			response.end(answer.body);
		} catch (error) {
			seen.objections.push(`${entry?.key ?? '?'}: ${request.method} ${url.origin}${url.pathname}: ${error instanceof Objection ? error.message : error.stack}`);
			response.writeHead(400, { 'content-type': 'application/json' });
			response.end(JSON.stringify({ error: 'invalid_request' }));
		}
	});
}

const tls = https.createServer({ cert: fs.readFileSync(option.certificate), key: fs.readFileSync(option.key) }, serve);
const proxy = http.createServer((request, response) => {
	const chunks = [];
	request.on('data', (chunk) => chunks.push(chunk));
	request.on('end', () => {
		let answer = seen;
		if (request.url === '/__visit') {
			try { answer = visit(JSON.parse(Buffer.concat(chunks))); }
			catch (error) { answer = { objection: error instanceof Objection ? error.message : error.stack }; }
		}
		response.writeHead(200, { 'content-type': 'application/json' });
		response.end(JSON.stringify(answer));
	});
});
proxy.on('connect', (request, socket) => {
	socket.on('error', () => socket.destroy());
	socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
	tls.emit('connection', socket);
});
tls.on('tlsClientError', (error) => seen.objections.push(`TLS: ${error.message}`));

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
setTimeout(() => process.exit(0), Number(option.lifetime) * 1000).unref();
proxy.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ ready: true, url: `http://127.0.0.1:${proxy.address().port}`, pid: process.pid })));
