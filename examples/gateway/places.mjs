// places.mjs: how many calls may be under way for one connector, and for one person.
//
// A call whose token must first be renewed waits for the provider, and keeps a connection to the database meanwhile.
// One slow provider, or one person with many requests, would have all connections of the pool; so neither gets more
// than a part, and the others wait, not for long, outside of it.
import { Problem } from './problems.mjs';

const WAIT = 5_000; // ms
const MOST_WAITING = 2_000;

export function openPlaces(poolSize, { wait = WAIT, mostWaiting = MOST_WAITING } = {}) {
	const most = {
		connector: Math.max(1, poolSize - Math.max(1, Math.floor(poolSize / 5))),
		callbacks: Math.max(1, Math.floor(poolSize / 2)),
		person: Math.max(1, Math.floor(poolSize / 4)),
	};
	const keys = new Map(); // "kind:key" → { busy, waiting: [] }
	let waiting = 0;

	function leave(name) {
		const place = keys.get(name);
		const next = place.waiting.shift();
		if (next) return next(); // its place goes on to whoever waits
		place.busy--;
		if (place.busy === 0) keys.delete(name);
		return undefined;
	}

	async function enter(kind, key) {
		const name = `${kind}:${key}`;
		const place = keys.get(name) ?? { busy: 0, waiting: [] };
		keys.set(name, place);
		if (place.busy < most[kind]) {
			place.busy++;
			return name;
		}
		if (waiting >= mostWaiting) throw busy();
		waiting++;
		try {
			await new Promise((resolve, reject) => {
				const entry = () => {
					clearTimeout(timer);
					resolve();
				};
				const timer = setTimeout(() => {
					place.waiting.splice(place.waiting.indexOf(entry), 1);
					reject(busy());
				}, wait);
				place.waiting.push(entry);
			});
		} finally {
			waiting--;
		}
		return name;
	}

	return {
		// work() in a place of each kind that is given; always in this order, so that none waits for another in a circle
		async run(keys, work) {
			const held = [];
			try {
				for (const kind of ['person', 'callbacks', 'connector'])
					if (keys[kind] !== undefined) held.push(await enter(kind, keys[kind]));
				return await work();
			} finally {
				for (const name of held) leave(name);
			}
		},
		get waiting() { return waiting; },
		get size() { return keys.size; },
	};
}

function busy() {
	return new Problem(503, 'busy', 'Too many requests wait for this connector. Try again in a moment.', { 'retry-after': '5' });
}
