// app.mjs: the HTTP service, put together.
//
//   const { app, services } = await buildApp(readConfig());
//   await app.listen(…); …; await app.close();
//
// services is what routes and pages work with: { config, database, log, metrics, places, people, byPerson, flows, addressOf }.
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import Fastify, { LogController } from 'fastify';
import { openDatabase } from './database.mjs';
import { demo } from './demo.mjs';
import { addressKey, openLimit, openPeople, refuseIfTooOften } from './limits.mjs';
import { logOptions } from './log.mjs';
import { openMetrics } from './metrics.mjs';
import { pages } from './pages/index.mjs';
import { noticePage } from './pages/notice.mjs';
import { openPlaces } from './places.mjs';
import { Problem, problemBody, problemOf } from './problems.mjs';
import { callback } from './routes/callback.mjs';
import { connectors } from './routes/connectors.mjs';
import { health } from './routes/health.mjs';
import { secure } from './security.mjs';

const BODY_LIMIT = 64 * 1024;

export async function buildApp(config) {
	const app = Fastify({
		logger: logOptions(config),
		genReqId: () => randomUUID(),
		logController: new LogController({ disableRequestLogging: true }),
		trustProxy: config.trustProxy.length > 0 ? config.trustProxy : false,
		bodyLimit: BODY_LIMIT,
		routerOptions: { maxParamLength: 1024 },
		requestTimeout: 30_000,
		keepAliveTimeout: 75_000,
		return503OnClosing: true,
		exposeHeadRoutes: false,
		// what no route is looked for: no hook has seen it
		frameworkErrors(error, request, reply) {
			secure(request, reply, config);
			return answerError(error, request, reply);
		},
		...(config.tls.certificate && {
			https: { cert: fs.readFileSync(config.tls.certificate), key: fs.readFileSync(config.tls.key), minVersion: 'TLSv1.2' },
		}),
	});
	const services = { config, log: app.log };
	services.database = openDatabase(config, app.log);
	services.places = openPlaces(config.poolSize);
	services.metrics = openMetrics(services);
	services.byPerson = openLimit({ perMinute: config.requestsPerMinute });
	services.people = openPeople();
	services.flows = openLimit({ perMinute: config.flowsPerMinute });
	services.addressOf = (request) => addressKey(request.ip);

	readBodies(app);
	app.addHook('onRequest', async (request, reply) => secure(request, reply, config));
	app.setErrorHandler(answerError);
	app.setNotFoundHandler((request, reply) => answerError(new Problem(404, 'not_found', 'There is nothing here.'), request, reply));
	limitAddresses(app, services);
	app.addHook('onResponse', async (request, reply) => {
		const { method, routeOptions } = request;
		services.metrics.observe(routeOptions.url ? method : 'other', routeOptions.url ?? 'none', reply.statusCode, reply.elapsedTime / 1000);
		request.log.info({ req: request, res: reply, ms: Math.round(reply.elapsedTime * 10) / 10 }, 'answered');
	});
	app.addHook('onClose', () => services.database.close());

	await app.register(health, services);
	await app.register(connectors, services);
	await app.register(callback, services);
	if (config.demo) await app.register(demo, services);
	await pages(app, services);
	return { app, services };
}

function limitAddresses(app, { config, metrics, addressOf }) {
	const byAddress = openLimit({ perMinute: config.requestsPerMinute });
	let warned = false;

	app.addHook('onRequest', async (request) => {
		if (request.routeOptions.config?.unlimited) return;
		if (!warned && config.trustProxy.length === 0 && request.headers['x-forwarded-for'] !== undefined) {
			warned = true;
			request.log.warn('a proxy says whom a request is from, and is not in GATEWAY_TRUSTED_PROXIES: all it passes on counts as one address\'s');
		}
		refuseIfTooOften(byAddress, addressOf(request), metrics, 'address');
	});
}

// JSON, also where there is none although the header says so, as the SDK sends it; and forms.
function readBodies(app) {
	app.removeAllContentTypeParsers();
	app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
		if (body === '') return done(null, undefined);
		try {
			return done(null, JSON.parse(body));
		} catch {
			return done(new Problem(400, 'invalid_request', 'The body is not JSON.'));
		}
	});
	app.addContentTypeParser('application/x-www-form-urlencoded', { parseAs: 'string' }, (_request, body, done) => {
		done(null, new URLSearchParams(body));
	});
}

function answerError(error, request, reply) {
	const problem = problemOf(error);
	if (problem.status >= 500) request.log[error instanceof Problem ? 'warn' : 'error']({ req: request, err: error }, 'failed');
	else request.log.info({ req: request, err: error }, 'refused');
	reply.code(problem.status).headers(problem.headers);
	if (request.routeOptions?.config?.page || (!request.url.startsWith('/api/') && /text\/html/.test(request.headers.accept ?? '')))
		return reply.type('text/html; charset=utf-8').send(noticePage('problem', { problem, id: request.id }));
	return reply.type('application/problem+json').send(problemBody(problem, request.id));
}
