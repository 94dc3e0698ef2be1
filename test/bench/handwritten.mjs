// handwritten.mjs: the route that gives a person's token as teams write it themselves: Node, node-postgres, the JWT verified by jose, row
// security keyed to a setting, AES-256-GCM in Node.  What test/bench/gateway.mjs compares the gateway with.
//
// It refreshes nothing, and does nothing else that the gateway does: it is the least that there can be.
//
// Environment: PORT, DATABASE (postgres://…), POOL_SIZE, KEY (64 hexadecimal digits), SERVICE_SECRET, JWKS.
import { createDecipheriv, timingSafeEqual } from 'node:crypto';
import { createRequire } from 'node:module';

// the gateway's own packages, in the same versions
const load = createRequire(new URL('../../examples/gateway/package.json', import.meta.url));
const Fastify = load('fastify');
const pg = load('pg');
const { createLocalJWKSet, jwtVerify } = load('jose');

const { env } = process;
const pool = new pg.Pool({ connectionString: env.DATABASE, max: Number(env.POOL_SIZE) });
const key = Buffer.from(env.KEY, 'hex');
const secret = Buffer.from(`Bearer ${env.SERVICE_SECRET}`);
const jwks = createLocalJWKSet(JSON.parse(env.JWKS));

function open(sealed, appUser, connectorId) {
	const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, 12));
	decipher.setAAD(Buffer.from(`${appUser}\0${connectorId}`));
	decipher.setAuthTag(sealed.subarray(-16));
	return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]).toString();
}

async function tokenOf(appUser, connectorId) {
	const client = await pool.connect();
	try {
		await client.query('BEGIN');
		await client.query("SELECT set_config('app.user', $1, true)", [appUser]);
		const { rows: [row] } = await client.query('SELECT access_token, connection_config FROM handwritten_tokens WHERE connector_id = $1', [connectorId]);
		await client.query('COMMIT');
		return row && { access_token: open(row.access_token, appUser, connectorId), connection_config: row.connection_config };
	} catch (error) {
		await client.query('ROLLBACK');
		throw error;
	} finally {
		client.release();
	}
}

const app = Fastify({ logger: { level: env.LOG_LEVEL ?? 'info' } });
app.get('/api/apps/:appId/app-user-auth/connectors/:connectorId/token', async (request, reply) => {
	const given = Buffer.from(request.headers.authorization ?? '');
	if (given.length !== secret.length || !timingSafeEqual(given, secret)) return reply.code(401).send({ error: 'unauthorized' });
	const { payload } = await jwtVerify((request.headers['on-behalf-of'] ?? '').replace(/^Bearer /, ''), jwks, { issuer: 'https://bench.example', audience: 'bench' });
	const token = await tokenOf(payload.sub, request.params.connectorId);
	return token ?? reply.code(404).send({ error: 'not connected' });
});
process.stdin.resume().on('end', () => process.exit(0));
await app.listen({ host: '127.0.0.1', port: Number(env.PORT) });
console.log('"msg":"ready"');
