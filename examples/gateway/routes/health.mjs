// health.mjs: /healthz for whoever starts and stops the gateway, /metrics for Prometheus.
import { timingSafeEqual } from 'node:crypto';
import http from 'node:http';
import { Problem } from '../problems.mjs';
import { digest } from '../secrets.mjs';
import { bearer } from '../visitor.mjs';

const TEXT = 'text/plain; version=0.0.4; charset=utf-8';

const ASKED_EVERY = 1000; // ms

export async function health(app, { config, database, metrics }) {
	let asked = -Infinity;
	let reached;

	// once a second, however many ask
	function reachDatabase() {
		if (performance.now() - asked < ASKED_EVERY) return reached;
		asked = performance.now();
		reached = database.asService((query) => query('SELECT 1'), { read: true, patience: 0 }).then(() => true, (error) => {
			app.log.warn({ err: error }, 'the database cannot be reached');
			return false;
		});
		return reached;
	}

	// That the process lives; with ?database, that it can work as well.  It has no figures: anybody may ask.
	app.get('/healthz', { config: { unlimited: true } }, async (request, reply) => {
		if (request.query.database === undefined) return { status: 'ok' };
		if (await reachDatabase()) return { status: 'ok', database: 'ok' };
		return reply.code(503).send({ status: 'unavailable', database: 'unavailable' });
	});

	// Not open to the world: for whoever has the token; without one it is only at the port of its own below.
	if (config.metricsToken !== undefined) {
		const token = digest(config.metricsToken);
		app.get('/metrics', async (request, reply) => {
			const given = bearer(request.headers.authorization);
			if (given === null || !timingSafeEqual(digest(given), token))
				throw new Problem(401, 'not_authenticated', 'This needs the token for metrics.', { 'www-authenticate': 'Bearer' });
			return reply.type(TEXT).send(await metrics.text());
		});
	}
	if (config.metricsPort === undefined) return;
	const server = http.createServer(async (request, response) => {
		if (request.method !== 'GET' || request.url !== '/metrics') return response.writeHead(404).end();
		return response.writeHead(200, { 'content-type': TEXT }).end(await metrics.text());
	});
	app.addHook('onListen', () => new Promise((resolve, reject) => {
		server.once('error', reject).listen(config.metricsPort, '127.0.0.1', () => {
			app.log.info({ port: server.address().port }, 'metrics');
			resolve();
		});
	}));
	app.addHook('preClose', async () => {
		server.close();
		server.closeIdleConnections();
	});
}
