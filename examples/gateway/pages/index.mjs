// index.mjs: the pages are registered here.
//
// A route's options are { config: { page: true } }: errors are then pages as well.  A handler has the visitor's
// JWT by visitorJwt(request, config) or requireVisitor(request, services) and works by database.asAppUser(jwt, …);
// those for administrators begin with requireAdmin(request, services), and work by database.asAdmin(…);
// whatever changes something is a POST that begins with requireOwnPage(request, services).
import { visitorJwt } from '../visitor.mjs';
import { html, layout } from './layout.mjs';

export async function pages(app, { config, database }) {
	app.get('/', { config: { page: true } }, async (request, reply) => {
		const jwt = visitorJwt(request, config);
		const connections = jwt === null ? null : await database.asAppUser(jwt, (query) => query(
			'SELECT connector_id, name, connection_name, status FROM appuser_connectors.app_user_connections() ORDER BY name, connection_name'), { read: true });

		return reply.type('text/html; charset=utf-8').send(layout({
			title: 'Connections',
			body: connections === null ? html`<p>You are not signed in.</p>`
				: html`<ul>${connections.map((c) => html`<li>${c.name ?? c.connector_id} (${c.connection_name}): ${c.status}</li>`)}</ul>`,
		}));
	});
}
