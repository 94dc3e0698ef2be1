// metrics.mjs: figures of the gateway and of the extension, as Prometheus reads them (text format 0.0.4).
//
// The database is asked at most every few seconds, however many ask here, and only for what costs next to nothing:
// counters in shared memory, an index's count of what is due, check_health().
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const DATABASE_EVERY = 5_000; // ms

const STATISTICS = `SELECT kind, calls::float8, succeeded::float8, refused::float8, unavailable::float8, total_time::float8, in_flight::float8,
	due::float8, extract(epoch FROM clock_timestamp() - oldest_due)::float8 AS oldest_due FROM appuser_connectors.pg_stat_appuser_connectors`;
const HEALTH = 'SELECT name, ok FROM appuser_connectors.check_health()';

const escapeLabel = (text) => String(text).replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
const labelled = (labels) => {
	const list = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
	return list.length > 0 ? `{${list.join(',')}}` : '';
};

class Page {
	lines = [];

	add(name, type, help, samples) {
		if (samples.length === 0) return;
		this.lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
		for (const [labels, value, suffix = ''] of samples) this.lines.push(`${name}${suffix}${labelled(labels)} ${value}`);
	}

	toString() {
		return `${this.lines.join('\n')}\n`;
	}
}

export function openMetrics({ database, places, log }) {
	const requests = new Map(); // labels as JSON → { labels, count, sum, buckets }
	const limited = new Map();
	let asked = 0;
	let answer = Promise.resolve(null);

	async function askDatabase() {
		if (!database.asAdmin) return null;
		if (Date.now() - asked < DATABASE_EVERY) return answer;
		asked = Date.now();
		answer = database.asAdmin(async (query) => ({ statistics: await query(STATISTICS), health: await query(HEALTH) }), { read: true, patience: 0 })
			.catch((error) => {
				log.warn({ err: error }, 'the database gives no figures');
				return undefined;
			});
		return answer;
	}

	return {
		observe(method, route, status, seconds) {
			const labels = { method, route, status: String(status) };
			const key = JSON.stringify(labels);
			let entry = requests.get(key);
			if (!entry) requests.set(key, entry = { labels, count: 0, sum: 0, buckets: BUCKETS.map(() => 0) });
			entry.count++;
			entry.sum += seconds;
			for (let i = 0; i < BUCKETS.length; i++) if (seconds <= BUCKETS[i]) entry.buckets[i]++;
		},
		limited(what) {
			limited.set(what, (limited.get(what) ?? 0) + 1);
		},
		async text() {
			const page = new Page();
			const own = [...requests.values()];
			page.add('gateway_http_request_duration_seconds', 'histogram', 'Requests answered, by route and status.', own.flatMap(({ labels, count, sum, buckets }) => [
				...BUCKETS.map((le, i) => [{ ...labels, le }, buckets[i], '_bucket']),
				[{ ...labels, le: '+Inf' }, count, '_bucket'], [labels, sum, '_sum'], [labels, count, '_count'],
			]));
			page.add('gateway_requests_limited_total', 'counter', 'Requests refused since they came too often.', [...limited].map(([by, n]) => [{ by }, n]));
			page.add('gateway_requests_waiting', 'gauge', 'Requests that wait for a place of their connector or person.', [[{}, places.waiting]]);
			const pools = Object.entries(database.pools);
			page.add('gateway_database_connections', 'gauge', 'Connections to the database, by role.', pools.flatMap(([role, pool]) => [
				[{ role, state: 'idle' }, pool.idleCount], [{ role, state: 'busy' }, pool.totalCount - pool.idleCount],
			]));
			page.add('gateway_database_waiting', 'gauge', 'Requests that wait for a connection to the database.', pools.map(([role, pool]) => [{ role }, pool.waitingCount]));
			page.add('process_resident_memory_bytes', 'gauge', 'Memory of the process.', [[{}, process.memoryUsage.rss()]]);
			page.add('process_start_time_seconds', 'gauge', 'When the process started.', [[{}, Math.round(Date.now() / 1000 - process.uptime())]]);

			const found = await askDatabase();
			if (found !== null) page.add('appuser_connectors_up', 'gauge', 'Whether the database answered.', [[{}, found === undefined ? 0 : 1]]);
			if (!found) return page.toString();
			const { statistics, health } = found;
			page.add('appuser_connectors_calls_total', 'counter', 'Calls to providers, by kind and result.', statistics.flatMap((row) =>
				['succeeded', 'refused', 'unavailable'].map((result) => [{ kind: row.kind, result }, row[result]])));
			page.add('appuser_connectors_call_seconds_total', 'counter', 'Time that calls to providers took.', statistics.map((row) => [{ kind: row.kind }, row.total_time / 1000]));
			page.add('appuser_connectors_calls_in_flight', 'gauge', 'Calls to providers under way.', statistics.map((row) => [{ kind: row.kind }, row.in_flight]));
			const refresh = statistics.filter((row) => row.due !== null);
			page.add('appuser_connectors_refreshes_due', 'gauge', 'Tokens that are due to be renewed.', refresh.map((row) => [{}, row.due]));
			page.add('appuser_connectors_oldest_due_seconds', 'gauge', 'For how long the oldest of them has been due.', refresh.map((row) => [{}, Math.max(0, row.oldest_due ?? 0)]));
			page.add('appuser_connectors_health', 'gauge', 'check_health(): 0 where an administrator should act.', health.map((row) => [{ name: row.name }, row.ok ? 1 : 0]));
			return page.toString();
		},
	};
}
