// gateway.mjs: many people at once through the gateway, and what it costs.
//
//   node gateway.mjs JSON
//
// JSON: { host, port               of PostgreSQL (a socket's directory), superuser postgres; it has the extension
//         bouncer: { host, port }  a PgBouncer in front of it, for the load
//         users, seconds           of the load
//         rounds, each             of the comparison: how many, and their seconds; 0: none
//         attempts                 at it, until the gateway is not slower; 1
//         log_level }
//
// Makes what it needs in the database: an issuer, a provider (token-stub.mjs), a connector, the people and their connections.
//
// Load: each person asks for their token again and again, now and then for the page of their connections, and begins a flow; every answer is
// held against what it must be.  Comparison: the gateway and handwritten.mjs by turns, each with as many connections to the database, none
// of them through the pooler.  Prints one line of JSON: { load: { requests, wrong, errors, first, ms }, rates: { gateway, handwritten }, ratio }.
import { spawn } from 'node:child_process';
import crypto from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const pg = createRequire(import.meta.url)('pg');
const settings = JSON.parse(process.argv[2]);
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const secret = crypto.randomBytes(24).toString('hex');
const CONNECTOR = 'bench';
const POOL_SIZE = 10;
const AT_ONCE = 16; // people of the comparison who ask at the same time
const WARM_UP = 600; // tokens
const children = [];

// ------------------------------------------------------------------- who is asking

const { publicKey, privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'bench', alg: 'ES256', use: 'sig' }] };
const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function jwtOf(person) {
	const text = `${encode({ alg: 'ES256', kid: 'bench' })}.${encode({ iss: 'https://bench.example', aud: 'bench', sub: person, exp: Math.floor(Date.now() / 1000) + 7200 })}`;
	return `${text}.${crypto.sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

const people = Array.from({ length: settings.users }, (_, i) => ({ name: `user-${i}`, jwt: jwtOf(`user-${i}`), token: `access:user-${i}:1` }));

// ------------------------------------------------------------------------ servers

function start(program, env, args = []) {
	const child = spawn(process.execPath, [program, ...args], { env: { PATH: process.env.PATH, ...env }, stdio: ['pipe', 'pipe', 'inherit'] });
	children.push(child);
	return new Promise((resolve, reject) => {
		let text = '';
		const look = (part) => {
			text += part;
			if (!/"msg":"ready"|"ready":true/.test(text)) return;
			child.stdout.off('data', look).resume();
			resolve({ child, text });
		};
		child.stdout.on('data', look);
		child.on('exit', (code) => reject(new Error(`${program} ended with status ${code}: ${text}`)));
	});
}

const freePort = () => new Promise((resolve) => {
	const server = net.createServer().listen(0, '127.0.0.1', () => {
		const { port } = server.address();
		server.close(() => resolve(port));
	});
});
const database = (role, { host, port }) => `postgres://${role}@${encodeURIComponent(host)}:${port}/postgres`;

async function startGateway(at) {
	const port = await freePort();
	const url = `http://127.0.0.1:${port}`;
	await start(here('../../examples/gateway/main.mjs'), {
		GATEWAY_ORIGIN: url, GATEWAY_PORT: port, GATEWAY_APP_ID: 'bench', GATEWAY_SERVICE_SECRET: secret, GATEWAY_POOL_SIZE: POOL_SIZE, GATEWAY_LOG_LEVEL: settings.log_level ?? 'info',
		GATEWAY_USER_DATABASE: database('bench_frontend', at), GATEWAY_SERVICE_DATABASE: database('bench_backend', at),
		GATEWAY_REQUESTS_PER_MINUTE: 1_000_000, GATEWAY_FLOWS_PER_MINUTE: 1_000_000,
	}, ['--until-stdin-ends']);
	return url;
}

async function startHandwritten(key) {
	const port = await freePort();
	await start(here('handwritten.mjs'), {
		PORT: port, DATABASE: database('bench_app', settings), POOL_SIZE, KEY: key.toString('hex'), SERVICE_SECRET: secret, JWKS: JSON.stringify(jwks), LOG_LEVEL: settings.log_level ?? 'info',
	});
	return `http://127.0.0.1:${port}`;
}

// ----------------------------------------------------------------------- database

async function prepare(stub, key) {
	const client = new pg.Client({ host: settings.host, port: settings.port, user: 'postgres', database: 'postgres' });
	await client.connect();
	const redirectUri = 'http://127.0.0.1:1/api/external-auth/callback'; // of any port: it is a loopback one
	await client.query(`CREATE ROLE bench_frontend LOGIN IN ROLE appuser_connectors_user; CREATE ROLE bench_backend LOGIN IN ROLE appuser_connectors_service; CREATE ROLE bench_app LOGIN`);
	await client.query(`SELECT appuser_connectors.register_issuer('https://bench.example', jwks => $1, audiences => '{bench}', algorithms => '{ES256}')`, [jwks]);
	await client.query(`SELECT appuser_connectors.register_provider('bench', $1)`, [{ authorization_endpoint: `${stub}/auth`, token_endpoint: `${stub}/token` }]);
	await client.query(`SELECT appuser_connectors.register_connector('bench', 'client', 'secret', '{read}', $1, $2)`, [[redirectUri], CONNECTOR]);
	await client.query(`DO $$
		DECLARE
			state text;
			failure text;
		BEGIN
			FOR i IN 0 .. ${people.length - 1} LOOP
				PERFORM appuser_connectors.set_app_user('user-' || i);
				state := substring(appuser_connectors.connect_app_user('${CONNECTOR}') FROM '[?&]state=([^&]+)');
				COMMIT;
				PERFORM appuser_connectors.set_app_user('user-' || i);
				SELECT c.failure INTO STRICT failure FROM appuser_connectors.oauth_callback(state, 'user-' || i) AS c;
				IF failure IS NOT NULL THEN
					RAISE EXCEPTION 'not connected: %', failure;
				END IF;
				COMMIT;
			END LOOP;
		END $$`);
	await client.query(`CREATE TABLE handwritten_tokens (app_user text, connector_id text, access_token bytea NOT NULL, connection_config jsonb, PRIMARY KEY (app_user, connector_id));
		ALTER TABLE handwritten_tokens ENABLE ROW LEVEL SECURITY;
		ALTER TABLE handwritten_tokens FORCE ROW LEVEL SECURITY;
		CREATE POLICY own ON handwritten_tokens USING (app_user = current_setting('app.user'));
		GRANT SELECT ON handwritten_tokens TO bench_app`);
	for (const { name, token } of people) {
		const nonce = crypto.randomBytes(12);
		const cipher = crypto.createCipheriv('aes-256-gcm', key, nonce);
		cipher.setAAD(Buffer.from(`${name}\0${CONNECTOR}`));
		const sealed = Buffer.concat([nonce, cipher.update(token), cipher.final(), cipher.getAuthTag()]);
		await client.query('INSERT INTO handwritten_tokens VALUES ($1, $2, $3)', [name, CONNECTOR, sealed]);
	}
	await client.query('VACUUM ANALYZE handwritten_tokens');
	await client.end();
}

// ------------------------------------------------------------------------ asking

const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });

function ask(url, path, { method = 'GET', headers = {} } = {}) {
	return new Promise((resolve, reject) => {
		const request = http.request(url + path, { agent, method, headers }, (response) => {
			const parts = [];
			response.on('data', (part) => parts.push(part)).on('error', reject)
				.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(parts).toString() }));
		});
		request.on('error', reject).end();
	});
}

const route = `/api/apps/bench/app-user-auth/connectors/${CONNECTOR}`;

async function askToken(url, person) {
	const { status, body } = await ask(url, `${route}/token`, { headers: { authorization: `Bearer ${secret}`, 'on-behalf-of': `Bearer ${person.jwt}`, accept: 'application/json' } });
	return status === 200 && JSON.parse(body).access_token === person.token ? null : `${person.name}: ${status} ${body}`;
}

async function askFlow(url, person) {
	const { status, body } = await ask(url, `${route}/initiate`, { method: 'POST', headers: { authorization: `Bearer ${person.jwt}`, 'content-type': 'application/json' } });
	return status === 200 && JSON.parse(body).redirect_url.includes('/auth?') ? null : `${person.name}: ${status} ${body}`;
}

async function askPage(url, person) {
	const { status, body } = await ask(url, '/connections', { headers: { cookie: `__Host-visitor=${person.jwt}`, accept: 'text/html' } });
	return status === 200 && body.includes(CONNECTOR) ? null : `${person.name}: ${status} ${body.slice(0, 500)}`;
}

// ------------------------------------------------------------------------ running

async function load(url) {
	const end = performance.now() + settings.seconds * 1000;
	const found = { requests: 0, tokens: 0, wrong: 0, errors: 0, first: null, times: [] };

	await Promise.all(people.map(async (person, i) => {
		for (let n = i; performance.now() < end; n++) {
			const kind = n % 97 === 0 ? askFlow : n % 31 === 0 ? askPage : askToken;
			const began = performance.now();
			try {
				const fault = await kind(url, person);
				if (fault) found.wrong++;
				found.first ??= fault;
			} catch (error) {
				found.errors++;
				found.first ??= String(error);
			}
			found.requests++;
			if (kind === askToken) found.tokens++;
			found.times.push(performance.now() - began);
		}
	}));
	found.times.sort((a, b) => a - b);
	const at = (part) => Math.round(found.times[Math.floor((found.times.length - 1) * part)] * 10) / 10;
	return { requests: found.requests, tokens: found.tokens, wrong: found.wrong, errors: found.errors, first: found.first, a_second: Math.round(found.requests / settings.seconds), ms: { median: at(0.5), p99: at(0.99), longest: at(1) } };
}

// How many tokens a second; or so many tokens, so that what compiles as it runs is compiled.
async function rate(url, warmUp = 0) {
	const began = performance.now();
	const end = began + settings.each * 1000;
	let count = 0;

	await Promise.all(people.slice(0, AT_ONCE).map(async (person) => {
		while (warmUp > 0 ? count < warmUp : performance.now() < end) {
			const fault = await askToken(url, person);
			if (fault) throw new Error(fault);
			count++;
		}
	}));
	return count * 1000 / (performance.now() - began);
}

const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];

let status = 0;
try {
	const key = crypto.randomBytes(32);
	const { text } = await start(here('../provider/token-stub.mjs'), {});
	await prepare(JSON.parse(text.split('\n')[0]).url, key);
	const result = {};

	if (settings.seconds > 0) result.load = await load(await startGateway(settings.bouncer ?? settings));
	if (settings.rounds > 0) {
		const urls = { gateway: await startGateway(settings), handwritten: await startHandwritten(key) };
		for (const url of Object.values(urls)) await rate(url, WARM_UP);
		// on a machine that others use as well
		for (let attempts = settings.attempts ?? 1; attempts > 0 && !(result.ratio >= 1); attempts--) {
			const rates = { gateway: [], handwritten: [] };
			for (let round = 0; round < settings.rounds; round++)
				for (const name of round % 2 ? ['gateway', 'handwritten'] : ['handwritten', 'gateway']) rates[name].push(await rate(urls[name]));
			result.rates = Object.fromEntries(Object.entries(rates).map(([name, values]) => [name, Math.round(median(values))]));
			result.ratio = Math.round(100 * result.rates.gateway / result.rates.handwritten) / 100;
		}
	}
	console.log(JSON.stringify(result));
} catch (error) {
	process.stderr.write(`gateway.mjs: ${error.stack}\n`);
	status = 1;
}
agent.destroy();
for (const child of children) {
	child.removeAllListeners('exit');
	child.stdin.end();
	await new Promise((resolve) => { child.on('exit', resolve); setTimeout(() => child.kill('SIGKILL'), 5000).unref(); });
}
process.exit(status);
