// fields.mjs: fields of connection_config that the person has to give, such as the subdomain of their site: as inputs of a form.
import { html } from './layout.mjs';
import { texts } from './texts.mjs';

const t = texts.connections;
const KEPT = 2_000; // ms
const PREFIX = 'field.';

// Columns of a query on appuser_connectors.connectors, for personFields()
export const FIELD_COLUMNS = `coalesce(definition -> 'connection_config_fields', '{}') || coalesce(options -> 'connection_config_fields', '{}') AS fields,
	coalesce(connection_config, '{}') AS fixed`;

export function personFields({ fields, fixed }) {
	return Object.entries(fields).filter(([name, field]) => field.source === 'user' && !(name in fixed)).map(([name, field]) => ({ ...field, name }));
}

// By connector.  The definitions are for admins to read, so where the gateway has no admin's database it asks for none.
export function fieldReader({ database, log }) {
	let known = new Map();
	let read = 0;

	return async () => {
		if (!database.asAdmin || Date.now() - read < KEPT) return known;
		try {
			const rows = await database.asAdmin((query) => query(`SELECT connector_id, ${FIELD_COLUMNS} FROM appuser_connectors.connectors`), { read: true });
			known = new Map(rows.map((row) => [row.connector_id, personFields(row)]));
			read = Date.now();
		} catch (error) {
			log.warn({ err: error }, 'the fields of connectors could not be read');
		}
		return known;
	};
}

export function fieldInputs(fields, id) {
	return fields.map((field, i) => html`<p class="field"><label for="${id}-${i}">${field.title ?? field.name}</label>
${field.enum ? html`<select id="${id}-${i}" name="${PREFIX}${field.name}">${field.enum.map((value) => html`<option${value === field.default ? html` selected` : ''}>${value}</option>`)}</select>`
		: html`<input id="${id}-${i}" name="${PREFIX}${field.name}" value="${field.default ?? ''}" maxlength="1024" required autocomplete="off" autocapitalize="none" spellcheck="false" aria-describedby="${id}-${i}-hint">
<span class="hint" id="${id}-${i}-hint">${t.fieldHint}</span>`}</p>`);
}

// What a form gives, for connect_app_user(), which refuses whatever is not declared
export function givenFields(form) {
	const given = [...form].filter(([name, value]) => name.startsWith(PREFIX) && value.trim() !== '').map(([name, value]) => [name.slice(PREFIX.length), value.trim()]);
	return given.length > 0 ? Object.fromEntries(given) : null;
}
