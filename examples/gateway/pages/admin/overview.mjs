// overview.mjs: what an admin looks at first: health, connectors, calls, what is due, what happened.
import { html, layout, notice } from '../layout.mjs';
import { number, texts } from '../texts.mjs';
import { eventList, readEvents } from './events.mjs';
import { plot, plotTable } from './plots.mjs';

const t = texts.admin;
const STATUSES = ['connected', 'failing', 'reconnect_required', 'connector_stopped'];

const CONNECTORS = `SELECT n.connector_id, n.name, n.provider, n.stopped_at, count(DISTINCT s.app_user) AS people,
	${STATUSES.map((status) => `count(s.app_user) FILTER (WHERE s.status = '${status}') AS ${status}`).join(', ')}
FROM appuser_connectors.connectors AS n LEFT JOIN appuser_connectors.connection_status AS s USING (connector_id)
GROUP BY n.connector_id, n.name, n.provider, n.stopped_at ORDER BY lower(n.name), n.connector_id`;

export const scroller = (label, table) => html`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${table}</div>`;

function health(rows) {
	const bad = rows.filter((row) => !row.ok);
	const list = (some) => html`<ul class="checks">${some.map((row) => html`<li><span class="badge ${row.ok ? 'good' : 'bad'}">${row.ok ? t.health.ok : t.health.notOk}</span><div><strong>${row.name}</strong>${row.detail && html`<p>${row.detail}</p>`}</div></li>`)}</ul>`;

	return html`<h2>${t.health.title}</h2>${bad.length === 0 ? notice('good', t.health.good) : html`<p>${t.health.bad(bad.length)}</p>${list(bad)}`}
<details><summary>${t.health.all(rows.length)}</summary>${list(rows)}</details>`;
}

function connectorTable(rows) {
	return scroller(t.connectors.title, html`<table><thead><tr><th scope="col">${t.connectors.name}</th><th scope="col">${t.connectors.provider}</th><th scope="col" class="number">${t.connectors.people}</th>
${STATUSES.map((status) => html`<th scope="col" class="number">${texts.status[status]}</th>`)}</tr></thead>
<tbody>${rows.map((row) => html`<tr><th scope="row"><a href="/admin/connectors/${encodeURIComponent(row.connector_id)}">${row.name}</a>${row.stopped_at && html` <span class="badge bad">${t.connectors.stopped}</span>`}</th><td>${row.provider}</td>
<td class="number">${number(row.people)}</td>${STATUSES.map((status) => html`<td class="number">${number(row[status])}</td>`)}</tr>`)}</tbody></table>`);
}

function callTable(rows) {
	return html`<h2>${t.calls.title}</h2>${scroller(t.calls.title, html`<table><thead><tr><th scope="col">${t.calls.kind}</th>
${['calls', 'succeeded', 'refused', 'unavailable', 'ms', 'inFlight'].map((name) => html`<th scope="col" class="number">${t.calls[name]}</th>`)}</tr></thead>
<tbody>${rows.map((row) => html`<tr><th scope="row">${t.calls.kinds[row.kind] ?? row.kind}</th>${[row.calls, row.succeeded, row.refused, row.unavailable].map((n) => html`<td class="number">${number(n)}</td>`)}
<td class="number">${Number(row.calls) > 0 ? `${number(Math.round(row.total_time / row.calls))} ms` : '–'}</td><td class="number">${number(row.in_flight)}</td></tr>`)}</tbody></table>`)}<p class="small">${t.calls.since}</p>`;
}

function plots(series) {
	const titles = { refreshes: t.plots.refreshes, failures: t.plots.failures, due: t.plots.due };
	return html`<h2>${t.plots.title}</h2>${series.length < 2 ? html`<p>${t.plots.waiting}</p>`
		: html`<div class="plots">${Object.entries(titles).map(([name, title]) => plot(series, name, title))}</div>${plotTable(series, titles)}`}`;
}

function backlog(refresh) {
	const due = Number(refresh?.due ?? 0);
	return html`<h2>${t.backlog.title}</h2><p>${due === 0 ? t.backlog.none : t.backlog.some(due, refresh.oldest_due)}</p>`;
}

const first = () => html`<section class="card"><h2>${t.first.title}</h2><p>${t.first.text}</p><p><a class="button primary" href="/admin/new">${t.first.button}</a></p></section>`;

export async function overviewPage(database, samples, removed) {
	await samples.refresh();
	const [checks, connectors, calls, events] = await database.asAdmin(async (query) => [
		await query('SELECT name, ok, detail FROM appuser_connectors.check_health() ORDER BY ok, name'),
		await query(CONNECTORS),
		await query('SELECT kind, calls, succeeded, refused, unavailable, total_time, in_flight, due, oldest_due FROM appuser_connectors.pg_stat_appuser_connectors ORDER BY kind'),
		await readEvents(query, { most: 10 }),
	], { read: true });

	return layout({
		title: t.title, current: 'overview', isAdmin: true, script: 'live.js',
		body: html`${removed !== null && notice('good', t.connector.removed(removed))}
<div id="live">${connectors.length === 0 ? first() : ''}${health(checks)}
${connectors.length > 0 && html`<h2>${t.connectors.title}</h2>${connectorTable(connectors)}`}
${plots(samples.series())}${backlog(calls.find((row) => row.kind === 'refresh'))}${callTable(calls)}
<h2>${t.events.recent}</h2>${eventList(events)}<p><a href="/admin/events">${t.events.all}</a></p></div>`,
	});
}

