// client.mjs: the second step: the client that the application has at the provider, as a form; and saving it.
//
// A secret goes one way: into a bind parameter of register_connector().  No page has one, not even the one that was just typed.
import { CALLBACK } from '../../flows.mjs';
import { html, layout, notice, safeUrl } from '../layout.mjs';
import { texts } from '../texts.mjs';

const t = texts.admin.client;

export const redirectUri = (config) => config.origin + CALLBACK;
export const splitScopes = (text) => (text ?? '').split(/\s+/).filter(Boolean);

// What the database says of a value that is not good holds no part of a secret; anything else is not the admin's mistake.
export function mistake(error) {
	if (!['22023', '22004', '42710', '42501', '54000', '55000', '58P01', 'UC004', 'UC006'].includes(error.code)) throw error;
	return [error.message, error.detail, error.hint].filter(Boolean);
}

export const mistakeNotice = (title, lines) => notice('bad', title, lines.map((line) => html`<p>${line}</p>`));

export async function readProvider(database, provider) {
	const [row] = await database.asAdmin((query) => query(
		'SELECT provider, name, docs_url, unverified, notes, unsupported, definition FROM appuser_connectors.providers WHERE provider = $1', [provider]), { read: true });
	return row;
}

const adminFields = (definition) => Object.entries(definition?.connection_config_fields ?? {}).filter(([, field]) => (field.source ?? 'admin') === 'admin');

const field = (id, label, control, hint) => html`<p class="field"><label for="${id}">${label}</label>${control}${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}</p>`;
const described = (id) => html`aria-describedby="${id}-hint"`;
const text = (name, value, { hint = false, required = true } = {}) => html`<input id="${name}" name="${name}" value="${value}"${required ? html` required` : ''} autocomplete="off" autocapitalize="none" spellcheck="false" ${hint && described(name)}>`;

// Write-only, and nothing that a browser should remember
export const secretInput = (hint, required = false) => field('client_secret', t.secret,
	html`<input id="client_secret" name="client_secret" type="password" autocomplete="off" data-1p-ignore data-lpignore="true" ${described('client_secret')}${required ? html` required` : ''}>`, hint);

export const scopesInput = (value, hints) => field('scopes', t.scopes,
	html`<textarea id="scopes" name="scopes" rows="4" autocomplete="off" autocapitalize="none" spellcheck="false" ${described('scopes')}>${value}</textarea>`, hints);

export function clientPage(config, row, form = new URLSearchParams(), problem = null) {
	const { definition, name } = row;
	const docs = row.docs_url && safeUrl(row.docs_url);
	const value = (key, otherwise = '') => form.get(key) ?? otherwise;
	const hints = [t.scopesHint, definition?.default_scopes?.length && t.defaultScopes(definition.default_scopes.join(' ')), definition?.required_scopes?.length && t.requiredScopes(definition.required_scopes.join(' '))].filter(Boolean);
	const list = (title, items) => items?.length > 0 && html`<h2>${title}</h2><ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`;

	if (row.unsupported) return layout({ title: t.title(name), current: 'add', isAdmin: true, body: html`${notice('bad', t.unsupported(row.unsupported))}${docs && html`<p><a href="${docs}" rel="noreferrer">${t.docs(name)}</a></p>`}` });
	return layout({
		title: t.title(name), current: 'add', isAdmin: true,
		body: html`${problem && mistakeNotice(t.failed, problem)}
<section class="card"><h2>${t.step1(name)}</h2><p>${t.step1Text}</p><p><span class="small">${t.redirectUri}</span><code class="copy" id="redirect-uri">${redirectUri(config)}</code></p>
${docs && html`<p><a href="${docs}" rel="noreferrer">${t.docs(name)}</a></p>`}${list(t.notes, row.notes)}${list(t.unverified, row.unverified)}</section>
<section class="card"><h2>${t.step2}</h2>
<form method="post" action="/admin/new/${encodeURIComponent(row.provider)}" autocomplete="off">
${field('client_id', t.id, text('client_id', value('client_id')))}
${secretInput([t.secretHint, t.secretGoes(definition.token_endpoint)].join(' '))}<input type="hidden" name="token_endpoint" value="${definition.token_endpoint}">
${scopesInput(value('scopes'), hints.join(' '))}
${adminFields(definition).map(([key, of]) => (of.enum
		? field(`config.${key}`, of.title ?? key, html`<select id="config.${key}" name="config.${key}">${of.enum.map((option) => html`<option${option === value(`config.${key}`, of.default) ? html` selected` : ''}>${option}</option>`)}</select>`)
		: field(`config.${key}`, of.title ?? key, text(`config.${key}`, value(`config.${key}`, of.default ?? ''), { required: of.default === undefined }))))}
${field('connector_id', t.connectorId, text('connector_id', value('connector_id', row.provider), { hint: true }), t.connectorIdHint)}
${field('name', t.name, text('name', value('name', name)))}
<button class="primary">${t.button}</button></form></section>`,
	});
}

// The new connector's id; throws what the database says.  The secret goes where the form said, or nowhere: the provider's definition
// may have been changed since the form was shown.
export async function saveClient(database, config, row, form) {
	const fields = adminFields(row.definition).map(([key]) => [key, form.get(`config.${key}`)?.trim()]).filter(([, value]) => value);
	return database.asAdmin(async (query) => {
		const [{ id }] = await query(
			`SELECT appuser_connectors.register_connector($1, client_id => $2, client_secret => $3, scopes => $4, redirect_uris => $5,
	connector_id => $6, name => $7, connection_config => $8) AS id`,
			[row.provider, form.get('client_id')?.trim() || null, form.get('client_secret') || null, splitScopes(form.get('scopes')), [redirectUri(config)],
				form.get('connector_id')?.trim() || null, form.get('name')?.trim() || null, fields.length > 0 ? Object.fromEntries(fields) : null]);
		const [{ endpoint }] = await query(`SELECT definition ->> 'token_endpoint' AS endpoint FROM appuser_connectors.connectors WHERE connector_id = $1`, [id]);
		if (endpoint !== form.get('token_endpoint')) throw Object.assign(new Error(t.moved(endpoint)), { code: '22023' });
		return id;
	});
}
