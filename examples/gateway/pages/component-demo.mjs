// component-demo.mjs: a page of somebody's application with <connect-account> in it, and what the element tells.  In demonstrations
// only: /demo/component?connector=…&connection=…&mode=redirect
import { requireVisitor } from '../visitor.mjs';
import { html, layout } from './layout.mjs';
import { texts } from './texts.mjs';

const t = texts.componentDemo;

export async function componentDemo(app, services) {
	app.get('/demo/component', { config: { page: true } }, async (request, reply) => {
		const { jwt } = await requireVisitor(request, services);
		const [first] = await services.database.asAppUser(jwt, (query) => query('SELECT connector_id FROM appuser_connectors.app_user_connections() ORDER BY connector_id LIMIT 1'), { read: true });
		const { connector = first?.connector_id ?? '', connection = 'default', mode = 'popup' } = request.query;
		return reply.type('text/html; charset=utf-8').send(layout({
			title: t.title, script: 'component-demo.js', head: html`<script src="/assets/connect-account.js" type="module"></script>`,
			body: html`<p>${t.text}</p><p><connect-account connector="${connector}" connection="${connection}" mode="${mode}"></connect-account></p>
<h2>${t.events}</h2><ol id="events" aria-live="polite"></ol>`,
		}));
	});
}
