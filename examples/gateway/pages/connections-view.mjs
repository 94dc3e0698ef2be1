// connections-view.mjs: the page of a person's connections, out of what app_user_connections() returned.
import { fieldInputs } from './fields.mjs';
import { html, notice, time } from './layout.mjs';
import { failureText, texts } from './texts.mjs';

const t = texts.connections;
const hidden = (text) => html`<span class="hidden"> ${text}</span>`;
const input = (name, value) => html`<input type="hidden" name="${name}" value="${value}">`;
export const named = (name, account) => (account === 'default' ? name : `${name}, ${account}`);

// [{ connector_id, name, accounts: [row] }], in the order of the rows
export function byConnector(rows) {
	const connectors = new Map();
	for (const row of rows) {
		if (!connectors.has(row.connector_id)) connectors.set(row.connector_id, { connector_id: row.connector_id, name: row.name, accounts: [] });
		if (row.status !== 'not_connected') connectors.get(row.connector_id).accounts.push(row);
		if (row.status === 'connector_stopped') connectors.get(row.connector_id).stopped = true;
	}
	return [...connectors.values()].map((c) => ({ ...c, accounts: c.accounts.filter((a) => a.connected_at !== null) }));
}

export const badge = (status) => html`<span class="badge ${status}">${texts.status[status] ?? status}</span>`;

function connectForm(connector, account, { fields, id, label, primary = true }) {
	return html`<form method="post" action="/connections/connect">${input('connector', connector.connector_id)}${input('connection', account)}
${fieldInputs(fields, id)}<button class="${primary ? 'primary' : ''}">${label}${hidden(named(connector.name, account))}</button></form>`;
}

function problemOf(row) {
	if (row.status === 'connector_stopped') return t.stopped;
	if (row.status === 'failing') return texts.failing;
	if (row.status === 'reconnect_required') return failureText(row.status_reason);
	return row.status_reason === 'no_refresh_token' ? t.ends : null;
}

// A week is what the event reconnect_soon gives as well.
const isNear = (end) => end && new Date(end) - Date.now() < 7 * 86_400_000;

function accountItem(connector, row, { fields, id, alone }) {
	const problem = problemOf(row);
	const missing = row.missing_scopes ?? [];
	const scopes = row.scopes ?? [];
	const again = row.status === 'reconnect_required' || isNear(row.reconnect_by) || missing.length > 0 || row.status_reason === 'no_refresh_token';

	return html`<li class="account">
<div class="account-head">${(!alone || row.connection_name !== 'default') && html`<h3>${t.account(row.connection_name)}</h3>`}${badge(row.status)}</div>
${problem && html`<p class="problem">${problem}</p>`}
${missing.length > 0 && html`<p class="problem">${t.missing} ${missing.map((scope) => html`<code>${scope}</code> `)}</p>`}
<dl>
${(row.account_name ?? row.account) && html`<div><dt>${t.accountAt}</dt><dd>${row.account_name ?? row.account}</dd></div>`}
<div><dt>${t.since}</dt><dd>${time(row.connected_at)}</dd></div>
${row.status_reason === 'no_refresh_token' && row.expires_at && html`<div><dt>${t.until}</dt><dd>${time(row.expires_at)}</dd></div>`}
${row.reconnect_by && html`<div><dt>${t.reconnectBy}</dt><dd>${time(row.reconnect_by)}</dd></div>`}
</dl>
${scopes.length === 0 ? html`<p class="small">${t.noScopes}</p>` : html`<details><summary>${t.scopes(scopes.length)}${hidden(named(connector.name, row.connection_name))}</summary>
<ul class="scopes">${scopes.map((scope) => html`<li><code>${scope}</code></li>`)}</ul>${row.scopes_assumed && html`<p class="small">${t.scopesAssumed}</p>`}</details>`}
<div class="actions">
${again && !connector.stopped && connectForm(connector, row.connection_name, { fields, id: `${id}-again`, label: t.reconnectShort })}
<a class="button quiet" href="/connections/disconnect?${new URLSearchParams({ connector: connector.connector_id, connection: row.connection_name })}">${t.disconnectShort}${hidden(named(connector.name, row.connection_name))}</a>
</div></li>`;
}

function anotherForm(connector, fields, id) {
	return html`<details class="another"><summary>${t.another}${hidden(connector.name)}</summary>
<form method="post" action="/connections/connect">${input('connector', connector.connector_id)}${input('new', '1')}
<p class="field"><label for="${id}">${t.anotherLabel}</label><input id="${id}" name="connection" maxlength="100" required autocomplete="off"></p>
${fieldInputs(fields, `${id}-f`)}<button>${t.anotherButton(connector.name)}</button></form></details>`;
}

function card(connector, i, fields) {
	const accounts = connector.accounts;
	return html`<section class="card" aria-labelledby="c${i}">
<h2 id="c${i}">${connector.name}</h2>
${accounts.length === 0 ? html`<p>${badge(connector.stopped ? 'connector_stopped' : 'not_connected')}</p>
${connector.stopped ? html`<p class="problem">${t.stopped}</p>`
		: html`<div class="actions">${connectForm(connector, 'default', { fields, id: `c${i}-first`, label: t.connectShort })}</div>`}`
		: html`<ul class="accounts">${accounts.map((row, j) => accountItem(connector, row, { fields, id: `c${i}-${j}`, alone: accounts.length === 1 }))}</ul>
${!connector.stopped && anotherForm(connector, fields, `c${i}-another`)}`}
</section>`;
}

// What became of what the person has just done: the query says which connection it was about, the rows what is so.  Words come
// from the rows and from texts, not from the query: anybody may make a link.
function outcome(query, connectors) {
	const connector = connectors.find((c) => c.connector_id === query.connector);
	if (query.failure) {
		const kept = connector?.accounts.some((a) => a.connection_name === (query.connection ?? 'default'));
		return notice('bad', connector ? `${connector.name}: ${texts.status.not_connected.toLowerCase()}` : texts.status.not_connected,
			html`<p>${failureText(query.failure)}${kept ? ` ${t.unchanged}` : ''}</p>`);
	}
	if (!connector) return '';
	const row = connector.accounts.find((a) => a.connection_name === (query.connection ?? 'default'));
	if (query.disconnected) return row ? '' : notice('good', t.disconnected(connector.name));
	return query.connected && row?.status === 'connected' ? notice('good', t.done(named(connector.name, row.connection_name))) : '';
}

export function connectionsBody(rows, { fields, query, isAdmin, problem = null }) {
	const connectors = byConnector(rows);
	return html`<div id="outcome">${problem ? notice('bad', problem) : outcome(query, connectors)}</div>
<p class="lead">${t.lead}</p>
<div id="live">${connectors.length === 0 ? html`<p>${t.empty}${isAdmin && html` <a href="/admin/new">${t.emptyAdmin}</a>`}</p>`
		: html`<div class="cards">${connectors.map((connector, i) => card(connector, i, fields.get(connector.connector_id) ?? []))}</div>`}</div>`;
}
