// index.mjs: the pages for admins.  Each asks first whether the visitor is one: GATEWAY_ADMINS names them, PostgreSQL says who the
// visitor is.  What they see and do is what the role appuser_connectors_admin may.
import { beginFlow } from '../../flows.mjs';
import { refuseIfTooOften } from '../../limits.mjs';
import { Problem } from '../../problems.mjs';
import { requireAdmin, requireOwnPage } from '../../visitor.mjs';
import { givenFields } from '../fields.mjs';
import { leavePage } from '../layout.mjs';
import { signInPage } from '../notice.mjs';
import { texts } from '../texts.mjs';
import { cataloguePage } from './catalogue.mjs';
import { clientPage, mistake, readProvider, saveClient, splitScopes } from './client.mjs';
import { connectorPage, countPeople, readConnector, removePage } from './connector.mjs';
import { eventsPage } from './events.mjs';
import { overviewPage } from './overview.mjs';
import { openSamples } from './samples.mjs';
import { TRIAL, openTrials, trialPage } from './trial.mjs';

const PAGE = { config: { page: true } };
const t = texts.admin.connector;
const nothing = () => new Problem(404, 'not_found', 'There is nothing here.');
const here = (id, rest = '') => `/admin/connectors/${encodeURIComponent(id)}${rest}`;

export async function admin(app, services) {
	const { config, database } = services;
	const samples = openSamples(services);
	const trials = openTrials();
	app.addHook('preClose', async () => samples.close());

	// handler(request, visitor, reply) returns a page, or has answered
	const route = (handler) => async (request, reply) => {
		if (request.method === 'POST') requireOwnPage(request, services);
		let visitor;
		try {
			visitor = await requireAdmin(request, services);
		} catch (error) {
			if (error.status !== 401 && error.code !== '28000') throw error;
			return reply.code(401).type('text/html; charset=utf-8').send(signInPage({ demo: config.demo }));
		}
		const page = await handler(request, visitor, reply);
		return typeof page === 'string' ? reply.type('text/html; charset=utf-8').send(page) : page;
	};
	const get = (path, handler) => app.get(path, PAGE, route(handler));
	const post = (path, handler) => app.post(path, PAGE, route(handler));
	const formOf = (request) => (request.body instanceof URLSearchParams ? request.body : new URLSearchParams());
	const connectorOf = async (request) => {
		const row = await database.asAdmin((query) => readConnector(query, request.params.id), { read: true });
		if (!row) throw nothing();
		return row;
	};

	get('/admin', async (request) => {
		const { removed } = request.query;
		return overviewPage(database, samples, /^\d{1,9}$/.test(removed) ? removed : null);
	});
	get('/admin/events', (request) => eventsPage(database, request.query));
	get('/admin/new', (request) => cataloguePage(database, request.query.q));

	get('/admin/new/:provider', async (request) => {
		const row = await readProvider(database, request.params.provider);
		if (!row) throw nothing();
		return clientPage(config, row);
	});
	post('/admin/new/:provider', async (request, _visitor, reply) => {
		const row = await readProvider(database, request.params.provider);
		if (!row || row.unsupported) throw nothing();
		try {
			return reply.redirect(here(await saveClient(database, config, row, formOf(request)), '/try'), 303);
		} catch (error) {
			reply.code(400);
			return clientPage(config, row, formOf(request), mistake(error));
		}
	});

	get('/admin/connectors/:id', async (request) => {
		const done = new Map([['scopes', t.savedScopes], ['client', t.savedClient]]).get(request.query.saved);
		const page = await connectorPage(database, request.params.id, { done });
		if (page === null) throw nothing();
		return page;
	});
	const change = (what, statement) => post(`/admin/connectors/:id/${what}`, async (request, _visitor, reply) => {
		const { connector_id: id } = await connectorOf(request);
		try {
			await database.asAdmin((query) => statement(query, id, formOf(request)));
			return reply.redirect(here(id, `?saved=${what}`), 303);
		} catch (error) {
			reply.code(400);
			return connectorPage(database, id, { problem: mistake(error) });
		}
	});
	change('scopes', (query, id, form) => query('SELECT appuser_connectors.update_connector($1, scopes => $2)', [id, splitScopes(form.get('scopes'))]));
	change('client', (query, id, form) => query('SELECT appuser_connectors.update_connector($1, client_id => $2, client_secret => $3)',
		[id, form.get('client_id')?.trim() || null, form.get('client_secret') || null]));

	get('/admin/connectors/:id/delete', async (request) => {
		const row = await connectorOf(request);
		return removePage(row, await database.asAdmin((query) => countPeople(query, row.connector_id), { read: true }));
	});
	post('/admin/connectors/:id/delete', async (request, _visitor, reply) => {
		const row = await connectorOf(request);
		const agreed = Number(formOf(request).get('connections'));
		const removed = await database.asAdmin(async (query) => {
			const counts = await countPeople(query, row.connector_id);
			if (!(counts.connections <= agreed)) return { grown: counts };
			const [{ count }] = await query('SELECT appuser_connectors.delete_connector($1)::integer AS count', [row.connector_id]);
			return { count };
		});
		if (removed.grown) {
			reply.code(409);
			return removePage(row, removed.grown, true);
		}
		return reply.redirect(`/admin?removed=${removed.count}`, 303);
	});

	// ------------------------------------------------------------ the trial

	const ownTrial = (jwt, id) => database.asAppUser(jwt, (query) => query(
		`SELECT status, coalesce(account_name, account) AS account, scopes, missing_scopes FROM appuser_connectors.app_user_connections()
WHERE connector_id = $1 AND connection_name = $2 AND connected_at IS NOT NULL`, [id, TRIAL]), { read: true });

	get('/admin/connectors/:id/try', async (request, visitor) => {
		const row = await connectorOf(request);
		const { failure, connected, removed } = request.query;
		if (failure || connected) trials.end(visitor.appUser, row.connector_id);
		const [connection] = await ownTrial(visitor.jwt, row.connector_id);
		const [event] = !failure ? [] : await database.asAdmin((query) => query(
			`SELECT detail FROM appuser_connectors.connection_events WHERE connector_id = $1 AND app_user = $2 AND connection_name = $3 AND event = 'connect_failed'
ORDER BY occurred_at DESC LIMIT 1`, [row.connector_id, visitor.appUser, TRIAL]), { read: true });
		return trialPage(row, config, { connection, failure, event, removed, pending: trials.pending(visitor.appUser, row.connector_id) });
	});
	post('/admin/connectors/:id/try', async (request, visitor, reply) => {
		const row = await connectorOf(request);
		let url;
		try {
			url = await beginFlow(services, request, reply, visitor.jwt, {
				connectorId: row.connector_id, connectionName: TRIAL, returnTo: here(row.connector_id, '/try'), connectionConfig: givenFields(formOf(request)),
				allow: (appUser) => refuseIfTooOften(services.flows, appUser, services.metrics, 'flows'),
			});
		} catch (error) {
			reply.code(400);
			return trialPage(row, config, { problem: mistake(error) });
		}
		trials.begin(visitor.appUser, row.connector_id);
		return leavePage(url, texts.leaving.title(row.name), texts.leaving.text(row.name));
	});
	post('/admin/connectors/:id/try/end', async (request, visitor, reply) => {
		const row = await connectorOf(request);
		await database.asAppUser(visitor.jwt, (query) => query('SELECT appuser_connectors.disconnect_app_user($1, $2)', [row.connector_id, TRIAL]));
		return reply.redirect(here(row.connector_id, '/try?removed=1'), 303);
	});
}
