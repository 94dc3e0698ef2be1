// limits.mjs: how often somebody may ask, in bounded memory.
//
//   const limit = openLimit({ perMinute: 600 });
//   limit.take(address)     0, or how many seconds to wait
//
// One number a key: when it would have asked again at an even pace (GCRA).  Keys that have not been seen for
// longest are forgotten first; a flood of keys so at most lets somebody ask again, and shuts nobody out.
import { isIPv6 } from 'node:net';
import { Problem } from './problems.mjs';

const MOST_KEYS = 50_000;

export function openLimit({ perMinute, most = MOST_KEYS, now = () => performance.now() }) {
	const interval = 60_000 / perMinute;
	const ahead = interval * Math.max(5, Math.ceil(perMinute / 6)); // at once
	const next = new Map();

	return {
		take(key) {
			const time = now();
			const due = Math.max(next.get(key) ?? time, time) + interval;
			if (due - time > ahead) return Math.ceil((due - time - ahead) / 1000);
			next.delete(key);
			next.set(key, due);
			if (next.size > most) next.delete(next.keys().next().value);
			return 0;
		},
		get size() { return next.size; },
	};
}

// A household, or a server, has a whole /64 of IPv6 addresses.
export function addressKey(address) {
	const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
	if (mapped) return mapped[1];
	if (!isIPv6(address)) return address;
	const [head, tail] = address.split('%')[0].split('::');
	const left = head ? head.split(':') : [];
	const right = tail ? tail.split(':') : [];
	const groups = tail === undefined ? left : [...left, ...Array(Math.max(0, 8 - left.length - right.length)).fill('0'), ...right];
	return `${groups.slice(0, 4).map((group) => parseInt(group, 16).toString(16)).join(':')}::/64`;
}

export function refuseIfTooOften(limit, key, metrics, what) {
	const seconds = limit.take(key);
	if (seconds === 0) return;
	metrics.limited(what);
	throw new Problem(429, 'too_many_requests', 'That was too often. Try again in a moment.', { 'retry-after': String(seconds) });
}

// Whom a JWT is of, as PostgreSQL has said before: a person's several JWTs count together, and one that somebody
// made up counts as itself, whatever name it has.
export function openPeople(most = MOST_KEYS) {
	const known = new Map(); // digest of the JWT → app user

	return {
		of: (digest) => (known.has(digest) ? `person ${known.get(digest)}` : digest),
		learn(digest, appUser) {
			known.delete(digest);
			known.set(digest, appUser);
			if (known.size > most) known.delete(known.keys().next().value);
		},
	};
}
