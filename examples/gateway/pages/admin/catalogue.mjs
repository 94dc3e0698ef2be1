// catalogue.mjs: the first step of a new connector: which provider is it for?
import { html, layout } from '../layout.mjs';
import { texts } from '../texts.mjs';

const t = texts.admin.catalogue;
const SHOWN = 60;

export async function cataloguePage(database, search) {
	const wanted = typeof search === 'string' ? search.trim().slice(0, 100) : '';
	const rows = await database.asAdmin((query) => query(
		`SELECT provider, name, categories, built_in, unsupported FROM appuser_connectors.providers
WHERE $1 = '' OR strpos(lower(concat_ws(' ', provider, name, array_to_string(categories, ' '))), lower($1)) > 0
ORDER BY built_in, strpos(lower(name), lower($1)) <> 1, lower(name)`, [wanted]), { read: true });
	const [{ count }] = wanted === '' ? [{ count: rows.length }]
		: await database.asAdmin((query) => query('SELECT count(*)::integer AS count FROM appuser_connectors.providers'), { read: true });

	return layout({
		title: t.title, current: 'add', isAdmin: true,
		body: html`<p class="lead">${t.lead}</p>
<form method="get" action="/admin/new" role="search" class="inline"><p class="field"><label for="q">${t.search}</label><input id="q" name="q" type="search" value="${wanted}" autocomplete="off"></p><button>${t.button}</button></form>
<p role="status">${rows.length === 0 ? t.none : t.found(rows.length, count)}</p>
<ul class="providers">${rows.slice(0, SHOWN).map((row) => html`<li><a href="/admin/new/${encodeURIComponent(row.provider)}">${row.name}<small>${row.built_in ? row.categories.join(', ') : t.ownBadge}</small></a></li>`)}</ul>
${rows.length > SHOWN && html`<p>${t.more(rows.length - SHOWN)}</p>`}<p class="small">${t.own}</p>`,
	});
}
