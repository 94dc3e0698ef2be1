// samples.mjs: the counters of pg_stat_appuser_connectors over the last hour, in this process's memory: for plots, and gone with it.
const EVERY = 10_000; // ms
const KEPT = 360; // an hour, if nobody looks
const FRESH = 1_000; // ms

const COUNTERS = `SELECT sum(calls) FILTER (WHERE kind = 'refresh')::float8 AS refreshes,
	sum(refused + unavailable)::float8 AS failures, max(due)::float8 AS due FROM appuser_connectors.pg_stat_appuser_connectors`;

export function openSamples({ database, log }, every = EVERY) {
	const samples = []; // { at, refreshes, failures, due }, the first two as they stand
	let taking = null;

	async function take() {
		const [row] = await database.asAdmin((query) => query(COUNTERS), { read: true });
		samples.push({ at: Date.now(), ...row });
		if (samples.length > KEPT + 1) samples.shift();
	}

	function sample() {
		taking ??= take().catch((error) => log.debug({ err: error }, 'no sample was taken')).finally(() => { taking = null; });
		return taking;
	}

	const timer = setInterval(sample, every);
	timer.unref();
	sample();
	return {
		// one more, for somebody who looks
		async refresh() { if (Date.now() - (samples.at(-1)?.at ?? 0) >= FRESH) await sample(); },
		close: () => clearInterval(timer),
		// [{ at, refreshes, failures, due }], the first two a minute; a counter that fell began anew with the server
		series: () => samples.slice(1).map((now, i) => {
			const before = samples[i];
			const minutes = (now.at - before.at) / 60_000;
			const rate = (name) => Math.round((Math.max(0, now[name] >= before[name] ? now[name] - before[name] : now[name]) / minutes) * 10) / 10;
			return { at: now.at, refreshes: rate('refreshes'), failures: rate('failures'), due: now.due };
		}),
	};
}
