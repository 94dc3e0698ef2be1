// events.mjs: connection_events, newest first.
import { html, layout, time } from '../layout.mjs';
import { texts } from '../texts.mjs';

const t = texts.admin.events;
const MOST = 50;

// before: "occurred_at,event_id" of an event, for older ones
export function readEvents(query, { most = MOST, connectorId = null, event = null, before = null } = {}) {
	const [at = null, id = null] = before?.split(',') ?? [];
	return query(`SELECT event_id, occurred_at, to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS exact, app_user, connector_id, connection_name, event, detail FROM appuser_connectors.connection_events
WHERE ($1::text IS NULL OR connector_id = $1) AND ($2::text IS NULL OR event = $2) AND ($3::timestamptz IS NULL OR (occurred_at, event_id) < ($3, $4::uuid))
ORDER BY occurred_at DESC, event_id DESC LIMIT $5`, [connectorId, event, at, id, most]);
}

// A list and not a table: on a phone each is a few lines, and nothing is out of sight.
export function eventList(events) {
	if (events.length === 0) return html`<p>${t.none}</p>`;
	return html`<ol class="events">${events.map((e) => html`<li><span class="small">${time(e.occurred_at)}</span><code>${e.event}</code>
<span>${e.connector_id && html`<a href="/admin/connectors/${encodeURIComponent(e.connector_id)}">${e.connector_id}</a>`}${e.app_user && html` ${t.of(e.app_user, e.connection_name)}`}</span>
<span class="detail">${e.detail}</span></li>`)}</ol>`;
}

export async function eventsPage(database, query) {
	const event = typeof query.event === 'string' && query.event !== '' ? query.event : null;
	const before = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z,[0-9a-f-]{36}$/.test(query.before) ? query.before : null;
	const [kinds, events] = await database.asAdmin(async (ask) => [
		await ask('SELECT DISTINCT event FROM appuser_connectors.connection_events ORDER BY event'),
		await readEvents(ask, { event, before, most: MOST + 1 }),
	], { read: true });
	const shown = events.slice(0, MOST);

	return layout({
		title: t.title, current: 'events', isAdmin: true,
		body: html`<form method="get" action="/admin/events" class="inline"><p class="field"><label for="event">${t.filter}</label>
<select id="event" name="event"><option value="">${t.everything}</option>${kinds.map((k) => html`<option${k.event === event ? html` selected` : ''}>${k.event}</option>`)}</select></p><button>${t.button}</button></form>
${eventList(shown)}
${events.length > MOST && html`<p><a class="button quiet" href="/admin/events?${new URLSearchParams({ ...(event && { event }), before: `${shown.at(-1).exact},${shown.at(-1).event_id}` })}">${t.older}</a></p>`}`,
	});
}
