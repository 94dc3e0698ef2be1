// token-stub.mjs: a token endpoint and nothing else, light enough to be asked by thousands.
//
//   node token-stub.mjs [--delay MS] [--expires-in SECONDS] [--lifetime SECONDS]
//
// Any authorization code is good and names the account. Refresh tokens rotate: the use of one that was
// replaced is refused with invalid_grant and counted. Speaks http on a free loopback port, prints
// {"ready":true,"url":...,"port":...,"pid":...} and exits when its standard input closes or its lifetime
// (900 s) is over. What the fault server does with scripted answers this one does with a state of its own.
//
//   GET  /__ctl    {exchanges, refreshes: {account: n}, reused, held, concurrent, max_concurrent, first, last}
//                  first and last: when the first and the last refresh was answered, in ms
//   POST /__ctl    {delay: ms of each refresh; hold: true or false, refreshes wait; reset: true, zeroes the counters}
import http from 'node:http';
import { parseArgs } from 'node:util';

const { values: option } = parseArgs({
	options: {
		delay: { type: 'string', default: '0' },
		'expires-in': { type: 'string', default: '3600' },
		lifetime: { type: 'string', default: '900' },
	},
});
const settings = { delay: Number(option.delay), hold: false };
const current = new Map(); // account -> serial number of its live refresh token
const counters = {};
let held = [];

function reset() {
	Object.assign(counters, { exchanges: 0, refreshes: {}, reused: 0, concurrent: 0, max_concurrent: 0, first: null, last: null });
}
reset();

function grant(account) {
	const serial = (current.get(account) ?? 0) + 1;
	current.set(account, serial);
	return [200, {
		access_token: `access:${account}:${serial}`,
		refresh_token: `refresh:${account}:${serial}`,
		token_type: 'Bearer',
		expires_in: Number(option['expires-in']),
	}];
}

async function token(form) {
	if (form.get('grant_type') === 'authorization_code') {
		counters.exchanges++;
		return grant(form.get('code'));
	}
	counters.max_concurrent = Math.max(counters.max_concurrent, ++counters.concurrent);
	if (settings.delay) await new Promise((resolve) => { setTimeout(resolve, settings.delay); });
	if (settings.hold) await new Promise((resolve) => { held.push(resolve); });
	counters.concurrent--;
	const [, account, serial] = /^refresh:(.*):(\d+)$/.exec(form.get('refresh_token')) ?? [];
	if (current.get(account) !== Number(serial)) {
		counters.reused++;
		return [400, { error: 'invalid_grant' }];
	}
	counters.refreshes[account] = (counters.refreshes[account] ?? 0) + 1;
	counters.last = Date.now();
	counters.first ??= counters.last;
	return grant(account);
}

function control(body) {
	const order = body === '' ? {} : JSON.parse(body);
	if (order.delay !== undefined) settings.delay = order.delay;
	if (order.hold !== undefined) settings.hold = order.hold;
	if (order.reset) reset();
	if (!settings.hold) for (const resolve of held.splice(0)) resolve();
	return [200, { ...counters, held: held.length }];
}

const server = http.createServer(async (req, res) => {
	let body = '';
	for await (const chunk of req) body += chunk;
	const [status, answer] = req.url === '/__ctl' ? control(body)
		: req.url === '/token' ? await token(new URLSearchParams(body))
			: [404, { error: 'not_found' }];
	res.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
	res.end(JSON.stringify(answer));
});
server.keepAliveTimeout = 60000;
server.listen(0, '127.0.0.1', () => {
	const { port } = server.address();
	console.log(JSON.stringify({ ready: true, url: `http://127.0.0.1:${port}`, port, pid: process.pid }));
});

process.stdin.resume();
for (const event of ['end', 'close', 'error']) process.stdin.on(event, () => process.exit(0));
setTimeout(() => process.exit(0), Number(option.lifetime) * 1000);
