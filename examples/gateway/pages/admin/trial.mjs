// trial.mjs: a real round trip through a new connector, by the admin, and what is wrong if it fails.
//
// What failed is in the event that the extension records, in the provider's own words; here it only gets a heading that says what
// kind of mistake it is.
import { fieldInputs, personFields } from '../fields.mjs';
import { html, layout, notice } from '../layout.mjs';
import { date, texts } from '../texts.mjs';
import { mistakeNotice, redirectUri } from './client.mjs';

const t = texts.admin.trial;
export const TRIAL = 'trial'; // the connection's name: an account of the admin's own stays as it is
const PENDING_FOR = 15 * 60_000;
const MOST_PENDING = 1_000;

// When who began a trial of what, until it comes back: in memory, since it only helps to find words
export function openTrials() {
	const began = new Map();
	const key = (appUser, connectorId) => JSON.stringify([appUser, connectorId]);
	return {
		begin(appUser, connectorId) {
			began.delete(key(appUser, connectorId));
			began.set(key(appUser, connectorId), Date.now());
			if (began.size > MOST_PENDING) began.delete(began.keys().next().value);
		},
		end: (appUser, connectorId) => began.delete(key(appUser, connectorId)),
		pending(appUser, connectorId) {
			const at = began.get(key(appUser, connectorId));
			return at !== undefined && Date.now() - at < PENDING_FOR ? at : null;
		},
	};
}

// Which of texts.admin.trial.reasons it is
export function reasonOf(failure, detail = '') {
	const words = (detail ?? '').toLowerCase();
	if (/error "?(invalid_client|unauthorized_client)|correct client_id or client_secret/.test(words) || failure === 'invalid_client' || failure === 'unauthorized_client') return 'secret';
	if (failure === 'redirect_uri_mismatch' || (failure === 'invalid_grant' && /redirect/.test(words.replace(/;.*$/, '')))) return 'redirect';
	return {
		access_denied: 'denied', invalid_scope: 'scope', provider_unavailable: 'unavailable', temporarily_unavailable: 'unavailable', server_error: 'unavailable',
		invalid_id_token: 'id_token', issuer_mismatch: 'issuer', invalid_response: 'response', connector_misconfigured: 'misconfigured',
		invalid_grant: 'redirect',
	}[failure] ?? 'other';
}

const tryForm = (connector, label) => html`<form method="post" action="/admin/connectors/${encodeURIComponent(connector.connector_id)}/try">${fieldInputs(personFields(connector), 'f')}<button class="primary">${label}</button></form>`;
const codes = (list) => html`<ul class="scopes">${list.map((item) => html`<li><code>${item}</code></li>`)}</ul>`;
const finish = (connector) => html`<a class="button quiet" href="/admin/connectors/${encodeURIComponent(connector.connector_id)}">${t.finish}</a>`;

function help(connector, config) {
	return html`<dt>${t.helpRows.redirect}</dt><dd><code class="copy">${redirectUri(config)}</code></dd>
<dt>${t.helpRows.client}</dt><dd><code>${connector.client_id}</code></dd>
<dt>${t.helpRows.scope}</dt><dd>${connector.scopes.length > 0 ? codes(connector.scopes) : texts.admin.connector.none}</dd>`;
}

function failed(connector, config, failure, event) {
	const reason = reasonOf(failure, event?.detail);
	return html`${notice('bad', t.bad, html`<p>${t.reasons[reason]}</p>`)}
${reason === 'redirect' && html`<p>${t.redirectHere}</p><p><code class="copy">${redirectUri(config)}</code></p>`}
<dl class="facts"><div><dt>${t.said}</dt><dd>${event?.detail ?? html`<code>${/^[\w.-]{1,100}$/.test(failure) ? failure : '?'}</code>`}</dd></div></dl>
<div class="actions">${tryForm(connector, t.again)}<a class="button quiet" href="/admin/connectors/${encodeURIComponent(connector.connector_id)}#${reason === 'scope' ? 'change-scopes' : 'change-client'}">${texts.admin.connector[reason === 'scope' ? 'changeScopes' : 'changeClient']}</a></div>`;
}

function succeeded(connector, connection) {
	const missing = connection.missing_scopes;
	return html`${missing.length === 0 ? notice('good', t.good, html`<p>${t.goodText(connection.account)}</p>`)
		: html`${notice('bad', t.missing, html`<p>${t.missingText}</p>`)}${codes(missing)}`}
<h2>${t.granted}</h2>${connection.scopes.length > 0 ? codes(connection.scopes) : html`<p>${texts.admin.connector.none}</p>`}
<div class="actions"><form method="post" action="/admin/connectors/${encodeURIComponent(connector.connector_id)}/try/end"><button>${t.remove}</button></form>${missing.length > 0 && tryForm(connector, t.again)}${finish(connector)}</div>`;
}

// connection: the trial's, or undefined; failure: what the callback has just said; event: the admin's last failure here
export function trialPage(connector, config, { connection, failure, event, pending = null, removed = false, problem = null }) {
	const came = failure || connection;
	return layout({
		title: t.title(connector.name), current: 'add', isAdmin: true,
		body: html`${problem && mistakeNotice(t.notBegun, problem)}${removed && notice('good', t.removed)}
${failure ? failed(connector, config, failure, event) : connection ? succeeded(connector, connection)
		: html`${pending && notice('bad', t.waiting(date(pending)))}<p class="lead">${t.lead}</p><div class="actions">${tryForm(connector, pending ? t.again : t.button)}${finish(connector)}</div>`}
${!came && html`<details class="another"${pending ? html` open` : ''}><summary>${t.help}</summary><dl class="help">${help(connector, config)}</dl></details>`}`,
	});
}
