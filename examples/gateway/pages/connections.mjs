// connections.mjs: a person's own connections: the page, and what its forms do.
//
//   GET  /connections                     the page; connector, connection, connected and failure in the query say what has just ended
//   POST /connections/connect             begins a flow: connector, connection, new, field.NAME; popup or return_to
//   GET  /connections/done                where a flow in a window of its own ends
//   GET, POST /connections/disconnect     asks, and disconnects
//   GET  /connections/status              the same as JSON, for <connect-account>
import { beginFlow } from '../flows.mjs';
import { refuseIfTooOften } from '../limits.mjs';
import { Problem } from '../problems.mjs';
import { allowOrigin, answerPreflight } from '../security.mjs';
import { bearer, requireOwnPage, requireVisitor } from '../visitor.mjs';
import { byConnector, connectionsBody, named } from './connections-view.mjs';
import { fieldReader, givenFields } from './fields.mjs';
import { html, layout, leavePage } from './layout.mjs';
import { signInPage } from './notice.mjs';
import { failureText, texts } from './texts.mjs';

const t = texts.connections;
const PAGE = { config: { page: true } };
const HTML = 'text/html; charset=utf-8';

const LIST = `SELECT connector_id, connection_name, provider, coalesce(name, connector_id) AS name, status, status_reason, account, account_name, scopes,
	missing_scopes, scopes_assumed, connected_at, expires_at, reconnect_by
FROM appuser_connectors.app_user_connections() ORDER BY lower(coalesce(name, connector_id)), connector_id, connection_name <> 'default', connection_name`;

export async function connections(app, services) {
	const { config, database } = services;
	const fieldsOf = fieldReader(services);
	const list = (jwt) => database.asAppUser(jwt, (query) => query(LIST), { read: true });

	async function page(visitor, query, problem = null) {
		const [rows, fields] = await Promise.all([list(visitor.jwt), fieldsOf()]);
		return layout({
			title: t.title, current: 'connections', isAdmin: visitor.isAdmin, script: 'live.js',
			body: connectionsBody(rows, { fields, query, isAdmin: visitor.isAdmin, problem }),
		});
	}

	// Whoever is not signed in is told how, on a page
	const visit = (handler) => async (request, reply) => {
		let visitor;
		try {
			visitor = await requireVisitor(request, services);
		} catch (error) {
			if (error.status !== 401 && error.code !== '28000') throw error;
			return reply.code(401).type(HTML).send(signInPage({ demo: config.demo }));
		}
		return handler(visitor, request, reply);
	};

	app.get('/', async (request, reply) => reply.redirect(`/connections${new URL(request.url, config.origin).search}`, 303));

	app.get('/connections', PAGE, visit(async (visitor, request, reply) => reply.type(HTML).send(await page(visitor, request.query))));

	app.post('/connections/connect', PAGE, async (request, reply) => {
		requireOwnPage(request, services);
		return visit(connect)(request, reply);
	});

	async function connect(visitor, request, reply) {
		const form = request.body instanceof URLSearchParams ? request.body : new URLSearchParams();
		const connectorId = form.get('connector') ?? '';
		const account = (form.get('connection') ?? 'default').trim();
		const rows = await list(visitor.jwt);
		const connector = byConnector(rows).find((c) => c.connector_id === connectorId);
		if (!connector) throw new Problem(404, 'connector_not_found', 'There is no such connector.');
		const refuse = async (words) => reply.code(400).type(HTML).send(await page(visitor, {}, words));
		if (account === '' || account.length > 100 || /[\p{Cc}\p{Cf}]/u.test(account)) return refuse(t.anotherBad);
		if (form.has('new') && connector.accounts.some((a) => a.connection_name === account)) return refuse(t.anotherTaken);

		const returnTo = form.has('popup') ? '/connections/done' : form.get('return_to') || '/connections';
		try {
			const url = await beginFlow(services, request, reply, visitor.jwt,
				{ connectorId, connectionName: account, returnTo, connectionConfig: givenFields(form), allow: (appUser) => refuseIfTooOften(services.flows, appUser, services.metrics, 'flows') });
			return reply.type(HTML).send(leavePage(url, texts.leaving.title(connector.name), texts.leaving.text(connector.name)));
		} catch (error) {
			if (error.code === '22023' && !form.get('return_to')) return refuse(t.fieldBad(connector.name));
			throw error;
		}
	}

	app.get('/connections/done', PAGE, async (request, reply) => {
		const { connector = '', connection = 'default', failure } = request.query;
		const words = texts.window[failure ? 'failed' : 'connected'];
		return reply.type(HTML).send(layout({
			title: words.title, script: 'done.js',
			body: html`<div id="done" data-connector="${connector}" data-connection="${connection}" data-failure="${failure ?? ''}">
${failure && html`<p>${failureText(failure)}</p>`}<p>${words.text}</p><p><a href="/connections">${texts.begin}</a></p></div>`,
		}));
	});

	app.get('/connections/disconnect', PAGE, visit(async (visitor, request, reply) => {
		const { connector: id, connection: account = 'default' } = request.query;
		const row = (await list(visitor.jwt)).find((r) => r.connector_id === id && r.connection_name === account && r.connected_at !== null);
		if (!row) return reply.redirect('/connections', 303);
		return reply.type(HTML).send(layout({
			title: texts.disconnect.title(row.name), current: 'connections', isAdmin: visitor.isAdmin,
			body: html`<p>${texts.disconnect.text(row.name, account)}</p>
<form method="post" action="/connections/disconnect" class="actions"><input type="hidden" name="connector" value="${id}"><input type="hidden" name="connection" value="${account}">
<button class="danger">${texts.disconnect.yes}<span class="hidden"> ${named(row.name, account)}</span></button>
<a class="button quiet" href="/connections">${texts.disconnect.no}</a></form>`,
		}));
	}));

	app.post('/connections/disconnect', PAGE, async (request, reply) => {
		requireOwnPage(request, services);
		return visit(async (visitor) => {
			const connector = request.body?.get?.('connector') ?? '';
			const account = request.body?.get?.('connection') ?? 'default';
			const [{ disconnected }] = await database.asAppUser(visitor.jwt, (query) => query(
				'SELECT appuser_connectors.disconnect_app_user($1, $2) AS disconnected', [connector, account]));
			if (/application\/json/.test(request.headers.accept ?? '')) return reply.send({ disconnected });
			return reply.redirect(`/connections?${new URLSearchParams({ connector, connection: account, disconnected: '1' })}`, 303);
		})(request, reply);
	});

	// Of the visitor by cookie; a page of another, configured origin shows the person's JWT in Authorization
	app.options('/connections/status', async (request, reply) => answerPreflight(request, reply, config, ['GET']));
	app.get('/connections/status', async (request, reply) => {
		if (!allowOrigin(request, reply, config)) throw new Problem(403, 'foreign_origin', 'Pages of this origin may not call this.');
		const jwt = bearer(request.headers.authorization) ?? (await requireVisitor(request, services)).jwt;
		const wanted = request.query.connector;
		return {
			connectors: byConnector(await list(jwt)).filter((c) => wanted === undefined || c.connector_id === wanted).map((c) => ({
				connector: c.connector_id, name: c.name, stopped: c.stopped ?? false,
				connections: c.accounts.map((a) => ({ connection: a.connection_name, status: a.status, account: a.account, account_name: a.account_name, connected_at: a.connected_at })),
			})),
		};
	});
}
