// connector.mjs: one connector: what it is, who is connected by it, changing and deleting it.
import { badge } from '../connections-view.mjs';
import { FIELD_COLUMNS } from '../fields.mjs';
import { html, layout, notice, time } from '../layout.mjs';
import { number, texts } from '../texts.mjs';
import { mistakeNotice, scopesInput, secretInput } from './client.mjs';
import { eventList, readEvents } from './events.mjs';
import { scroller } from './overview.mjs';

const t = texts.admin.connector;

const COUNTS = `SELECT status, status_reason, count(*) AS connections, min(status_since) AS since FROM appuser_connectors.connection_status
WHERE connector_id = $1 GROUP BY status, status_reason ORDER BY status, status_reason`;

export async function readConnector(query, id) {
	const [row] = await query(`SELECT connector_id, provider, name, client_id, scopes, redirect_uris, created_at, updated_at, stopped_at, stopped_reason,
	${FIELD_COLUMNS} FROM appuser_connectors.connectors WHERE connector_id = $1`, [id]);
	return row;
}

// How many people, and how many connections, would go with it
export async function countPeople(query, id) {
	const [row] = await query('SELECT count(DISTINCT app_user)::integer AS people, count(*)::integer AS connections FROM appuser_connectors.connection_status WHERE connector_id = $1', [id]);
	return row;
}

const list = (items) => (items.length === 0 ? t.none : html`<ul>${items.map((item) => html`<li><code>${item}</code></li>`)}</ul>`);
const fact = (name, value) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`;

function facts(row) {
	return html`<dl class="facts">${fact(t.provider, row.provider)}${fact(texts.admin.client.connectorId, html`<code>${row.connector_id}</code>`)}${fact(t.clientId, html`<code>${row.client_id}</code>`)}
${fact(t.redirectUris, list(row.redirect_uris))}${fact(t.scopes, list(row.scopes))}${fact(t.created, time(row.created_at))}${fact(t.changed, time(row.updated_at))}</dl>`;
}

function countTable(counts) {
	return counts.length === 0 ? html`<p>${t.nobody}</p>` : scroller(t.people, html`<table><thead><tr><th scope="col">${t.status}</th><th scope="col">${t.reason}</th><th scope="col" class="number">${t.count}</th><th scope="col">${t.since}</th></tr></thead>
<tbody>${counts.map((row) => html`<tr><td class="nowrap">${badge(row.status)}</td><td>${row.status_reason && html`<code>${row.status_reason}</code>`}</td><td class="number">${number(row.connections)}</td><td class="nowrap">${time(row.since)}</td></tr>`)}</tbody></table>`);
}

export async function connectorPage(database, id, { problem = null, done = null } = {}) {
	const [row, counts, events] = await database.asAdmin(async (query) => [
		await readConnector(query, id), await query(COUNTS, [id]), await readEvents(query, { connectorId: id, most: 10 }),
	], { read: true });
	if (!row) return null;
	const here = `/admin/connectors/${encodeURIComponent(id)}`;

	return layout({
		title: row.name, current: 'overview', isAdmin: true,
		body: html`${problem && mistakeNotice(texts.admin.client.failed, problem)}${done && notice('good', done)}${row.stopped_at && notice('bad', t.stopped(row.stopped_reason))}
<section class="card"><h2>${t.facts}</h2>${facts(row)}<p class="actions"><a class="button primary" href="${here}/try">${t.try}</a></p></section>
<section class="card"><h2>${t.people}</h2>${countTable(counts)}</section>
<section class="card"><h2 id="change-scopes">${t.changeScopes}</h2><form method="post" action="${here}/scopes">${scopesInput(row.scopes.join('\n'), t.scopesHint)}<button>${t.saveScopes}</button></form></section>
<section class="card"><h2 id="change-client">${t.changeClient}</h2><form method="post" action="${here}/client" autocomplete="off">
<p class="field"><label for="client_id">${t.clientId}</label><input id="client_id" name="client_id" value="${row.client_id}" required autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="client_id-hint"><span class="hint" id="client_id-hint">${t.idHint}</span></p>
${secretInput(t.secretHint, true)}<button>${t.saveClient}</button></form></section>
<section class="card"><h2>${texts.admin.events.recent}</h2>${eventList(events)}</section>
<section class="card"><h2>${t.remove}</h2><p>${t.removeLead}</p><p><a class="button quiet" href="${here}/delete">${t.remove}</a></p></section>`,
	});
}

export function removePage(row, { people, connections }, grown) {
	return layout({
		title: t.removeTitle(row.name), current: 'overview', isAdmin: true,
		body: html`${grown && notice('bad', t.removeChanged)}<p>${t.removeText(people, connections)}</p>
<form method="post" action="/admin/connectors/${encodeURIComponent(row.connector_id)}/delete" class="actions"><input type="hidden" name="connections" value="${connections}">
<button class="danger">${t.yes(people)}</button><a class="button quiet" href="/admin/connectors/${encodeURIComponent(row.connector_id)}">${t.no}</a></form>`,
	});
}
