// token-stub.mjs: a token endpoint and nothing else, light enough to be asked by thousands.
//
//   node token-stub.mjs [--delay MS] [--expires-in SECONDS] [--lifetime SECONDS]
//
// Any authorization code is good and names the account. Refresh tokens rotate: the use of one that was
// replaced is refused with invalid_grant and counted. Speaks http on a free loopback port, prints
// {"ready":true,"url":...,"port":...,"pid":...} and exits when its standard input closes or its lifetime
// (900 s) is over. What the fault server does with scripted answers this one does with a state of its own.
//
//   GET  /__ctl    {exchanges, refreshes: {account: n}, revoked: {account: n}, reused, held, held_of: {account: n}, asked: [[ms, account], ...],
//                  concurrent, max_concurrent, first, last}
//                  asked: every request of a token, when it came; first and last: when the first and the last refresh
//                  was answered, in ms
//   POST /__ctl    {delay: ms of each refresh; hold: true or false, refreshes wait; reset: true, zeroes the counters;
//                  faults: [fault, ...]}
//
// A fault befalls requests of accounts whose names begin so: {account: 'bob', and one of status (with body), hold: true,
// drop: true}; the first that fits does. They are replaced as a whole; whoever is held and is not any longer goes on.
import http from 'node:http';
import { parseArgs } from 'node:util';

const { values: option } = parseArgs({
	options: {
		delay: { type: 'string', default: '0' },
		'expires-in': { type: 'string', default: '3600' },
		lifetime: { type: 'string', default: '900' },
	},
});
const settings = { delay: Number(option.delay), hold: false, faults: [] };
const current = new Map(); // account -> serial number of its live refresh token
const counters = {};
let held = [];

function reset() {
	Object.assign(counters, { exchanges: 0, refreshes: {}, revoked: {}, reused: 0, asked: [], concurrent: 0, max_concurrent: 0, first: null, last: null });
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

const fault_of = (account) => settings.faults.find((fault) => account.startsWith(fault.account));

async function token(form) {
	const account_asked = form.get('code') ?? /^refresh:(.*):/.exec(form.get('refresh_token'))?.[1] ?? '';
	counters.asked.push([Date.now(), account_asked]);
	let fault = fault_of(account_asked);
	while (fault?.hold) {
		await new Promise((resolve) => { held.push({ account: account_asked, resolve }); });
		fault = fault_of(account_asked);
	}
	if (fault?.drop) return null;
	if (fault?.status) return [fault.status, fault.body ?? {}];
	if (form.get('grant_type') === 'authorization_code') {
		counters.exchanges++;
		return grant(form.get('code'));
	}
	counters.max_concurrent = Math.max(counters.max_concurrent, ++counters.concurrent);
	if (settings.delay) await new Promise((resolve) => { setTimeout(resolve, settings.delay); });
	if (settings.hold) await new Promise((resolve) => { held.push({ account: account_asked, resolve }); });
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

async function revocation(form) {
	const account = /^(?:refresh|access):(.*):/.exec(form.get('token'))?.[1] ?? '';
	while (fault_of(account)?.hold) await new Promise((resolve) => { held.push({ account, resolve }); });
	counters.revoked[account] = (counters.revoked[account] ?? 0) + 1;
	return [200, {}];
}

function control(body) {
	const order = body === '' ? {} : JSON.parse(body);
	if (order.delay !== undefined) settings.delay = order.delay;
	if (order.hold !== undefined) settings.hold = order.hold;
	if (order.reset) reset();
	if (order.faults) settings.faults = order.faults;
	if (order.faults || !settings.hold)
		for (const one of held.splice(0))
			if (settings.hold || fault_of(one.account)?.hold) held.push(one);
			else one.resolve();
	const held_of = {};
	for (const { account } of held) held_of[account] = (held_of[account] ?? 0) + 1;
	return [200, { ...counters, held: held.length, held_of }];
}

const server = http.createServer(async (req, res) => {
	let body = '';
	for await (const chunk of req) body += chunk;
	const answered = req.url === '/__ctl' ? control(body)
		: req.url === '/token' ? await token(new URLSearchParams(body))
		: req.url === '/token/revocation' ? await revocation(new URLSearchParams(body))
			: [404, { error: 'not_found' }];
	if (answered === null) {
		req.socket.destroy();
		return;
	}
	const [status, answer] = answered;
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
