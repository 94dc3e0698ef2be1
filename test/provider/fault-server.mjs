#!/usr/bin/env node
// fault-server.mjs [--host 127.0.0.1] [--port 0] [--tls-cert FILE --tls-key FILE [--http2]]
//                  [--proxy-to URL] [--lifetime SECONDS]
//
// A server that answers as badly as it is told to. It speaks HTTP/1.1 by hand on plain sockets, so that a
// test can script any bytes. Prints one line {"ready":true,"url":...,"port":...,"pid":...} and exits when
// its standard input closes, or after its lifetime (900 s).
//
// With --http2 it prefers HTTP/2, and speaks HTTP/1.1 with those who do not offer it.
//
// Control, on the same port:
//   POST /__ctl [rule, ...]               replaces the rules
//   POST /__ctl {"add":[rule, ...]}       puts rules before the others
//   POST /__ctl {"release":"NAME"}        lets all requests go on that are held by that name
//   POST /__ctl {"connect":"hang"|"drop"|"reset"|"resetAfterHello"|"resetAfterTls"|"raw", "raw":"...", "times":1}
//                                         what happens to the next connections, before TLS and HTTP, or when
//                                         the first bytes are there, or TLS stands
//   POST /__ctl {"reset":true}            forgets rules, records and counters
//   GET  /__ctl                           {"requests":[...],"counts":{path:n},"held":{name:n},"connections":n,"accepted":n,"open":n}
//   GET  /__ctl/wait?path=P&count=N       answers when N requests have been seen at P (or held=NAME: when N
//                                         are held; open=1: when at most N connections are open, of those that
//                                         have asked for something else than control), or with 504 after
//                                         timeoutMs (default 10000, at most 60000)
//
// A rule: which requests (path, "*" at its end matches any rest; method; times, unlimited when absent), then
//   status (200), statusLine (instead of HTTP/1.1's own), headers {name: value or [values]}, body (string, or anything else as JSON), bodyBase64
//   gzip               the body is compressed, or, if gzip is a number, so many compressed zeros
//   echo               the body is the request's
//   tunnelTo           as a proxy that was asked to CONNECT: a tunnel to HOST:PORT, wherever it was to lead
//   raw, rawBase64     exactly these bytes instead of an HTTP answer, then the connection is closed
//   proxyTo            another server's base URL: the request is forwarded, and what follows befalls the answer;
//                      keepHost: with the Host header as it came
//   hold NAME          waits for release; delayMs; then one of
//   hang               never answers
//   drop, reset        closes the connection, by FIN or by RST
//   refuse, goAway     over HTTP/2: REFUSED_STREAM, or GOAWAY that leaves this request out, with which a
//                      client may send it again (RFC 9113 §8.7); over HTTP/1.1 as drop
//   resetAfterHeaders  sends the headers, then closes the connection by RST
//   stallAfterHeaders  sends the headers, never the body
//   trickleMs          a byte of the body each so many ms (trickleHeaders: of the headers too)
//   truncate           true or a number: ends the connection after half of, or so many bytes of the body
//   endlessBody, endlessHeaders, endless1xx
//   duplicate          the whole answer twice
//   closeAfter         closes the connection after the answer, without having announced it
// Without a matching rule: --proxy-to, or else 404 {"error":"not_found"}.

import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';

const { values: option } = parseArgs({
	options: {
		host: { type: 'string', default: '127.0.0.1' },
		port: { type: 'string', default: '0' },
		'tls-cert': { type: 'string' },
		'tls-key': { type: 'string' },
		http2: { type: 'boolean', default: false },
		'proxy-to': { type: 'string' },
		lifetime: { type: 'string', default: '900' },
	},
});

const secure = Boolean(option['tls-cert']);
const certificate = secure && {
	cert: fs.readFileSync(option['tls-cert']),
	key: fs.readFileSync(option['tls-key']),
};

let rules = [];
let connectRules = [];
let requests = [];
let counts = {};
let connections = 0;
let accepted = 0;
const open = new Set();
const held = new Map();
const waiters = new Set();

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const never = () => new Promise(() => {});

// Rules and records

function takeRule(request) {
	for (const rule of rules) {
		const path = rule.path ?? '*';
		const matches = path.endsWith('*') ? request.path.startsWith(path.slice(0, -1)) : request.path === path;
		if (!matches || (rule.method && rule.method !== request.method) || rule.times === 0) continue;
		if (rule.times !== undefined) rule.times--;
		return rule;
	}
	return option['proxy-to'] ? { proxyTo: option['proxy-to'] } : { status: 404, body: { error: 'not_found' } };
}

function record(request, connection, protocol) {
	requests.push({
		protocol,
		method: request.method,
		path: request.path,
		url: request.url,
		headers: request.headers,
		body: request.body.toString(),
		connection,
		at: Date.now(),
	});
	counts[request.path] = (counts[request.path] ?? 0) + 1;
	wake();
}

function wake() {
	for (const waiter of waiters) {
		if (waiter.met()) waiter.done();
	}
}

function waitUntil(met, timeoutMs) {
	if (met()) return true;
	return new Promise((resolve) => {
		const timer = setTimeout(() => waiter.done(false), timeoutMs);
		const waiter = {
			met,
			done(result = true) {
				clearTimeout(timer);
				waiters.delete(waiter);
				resolve(result);
			},
		};
		waiters.add(waiter);
	});
}

function hold(name) {
	return new Promise((resolve) => {
		held.set(name, [...(held.get(name) ?? []), resolve]);
		wake();
	});
}

function release(name) {
	const resolves = held.get(name) ?? [];
	held.delete(name);
	resolves.forEach((resolve) => resolve());
	return resolves.length;
}

async function control(request) {
	const url = new URL(request.url, 'http://control');
	if (url.pathname === '/__ctl/wait') {
		const count = Number(url.searchParams.get('count') ?? 1);
		const path = url.searchParams.get('path');
		const name = url.searchParams.get('held');
		const met = () => {
			if (name !== null) return (held.get(name) ?? []).length >= count;
			if (url.searchParams.has('open')) return open.size <= count;
			return (counts[path] ?? 0) >= count;
		};
		const timeoutMs = Math.min(Number(url.searchParams.get('timeoutMs') ?? 10000), 60000);
		const inTime = await waitUntil(met, timeoutMs);
		return { status: inTime ? 200 : 504, body: { seen: counts[path] ?? 0 } };
	}
	if (request.method === 'GET') {
		const heldCounts = Object.fromEntries([...held].map(([name, list]) => [name, list.length]));
		return { body: { requests, counts, held: heldCounts, connections, accepted, open: open.size } };
	}
	const command = JSON.parse(request.body.toString());
	if (Array.isArray(command)) rules = command;
	if (command.reset) {
		rules = [];
		connectRules = [];
		requests = [];
		counts = {};
		connections = accepted = 0;
	}
	if (command.add) rules = [...command.add, ...rules];
	if (command.connect) connectRules.push({ times: 1, ...command });
	const released = command.release === undefined ? 0 : release(command.release);
	return { body: { ok: true, released } };
}

// The answer a rule describes, before anything befalls it

async function answerOf(rule, request) {
	if (rule.proxyTo) return forward(rule, request);
	let body = Buffer.alloc(0);
	const headers = [];
	if (rule.echo) body = request.body;
	else if (rule.bodyBase64 !== undefined) body = Buffer.from(rule.bodyBase64, 'base64');
	else if (typeof rule.body === 'string') body = Buffer.from(rule.body);
	else if (rule.body !== undefined) {
		body = Buffer.from(JSON.stringify(rule.body));
		headers.push(['content-type', 'application/json']);
	}
	if (rule.gzip) {
		body = gzipSync(typeof rule.gzip === 'number' ? Buffer.alloc(rule.gzip) : body);
		headers.push(['content-encoding', 'gzip']);
	}
	for (const [name, value] of Object.entries(rule.headers ?? {})) {
		const same = headers.findIndex(([other]) => other === name.toLowerCase());
		if (same >= 0) headers.splice(same, 1);
		for (const one of [value].flat()) headers.push([name, one]);
	}
	return { status: rule.status ?? 200, statusLine: rule.statusLine, headers, body };
}

function forward(rule, request) {
	const target = new URL(rule.proxyTo);
	// without HTTP/2's pseudo-headers
	const headers = Object.fromEntries(Object.entries(request.headers).filter(([name]) => !name.startsWith(':')));
	if (!rule.keepHost) headers.host = target.host;
	for (const name of ['connection', 'transfer-encoding', 'content-length', 'expect']) delete headers[name];
	if (request.body.length > 0) headers['content-length'] = String(request.body.length);
	return new Promise((resolve) => {
		const outgoing = (target.protocol === 'https:' ? https : http).request(
			{
				host: target.hostname,
				port: target.port,
				method: request.method,
				path: target.pathname.replace(/\/$/, '') + request.url,
				headers,
				rejectUnauthorized: false,
			},
			(incoming) => {
				const chunks = [];
				incoming.on('data', (chunk) => chunks.push(chunk));
				incoming.on('end', () => {
					const answerHeaders = [];
					for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
						const name = incoming.rawHeaders[i];
						if (!/^(connection|keep-alive|transfer-encoding|content-length)$/i.test(name)) {
							answerHeaders.push([name, incoming.rawHeaders[i + 1]]);
						}
					}
					resolve({ status: incoming.statusCode, headers: answerHeaders, body: Buffer.concat(chunks) });
				});
			},
		);
		outgoing.on('error', (error) => resolve({ status: 502, headers: [], body: Buffer.from(error.message) }));
		outgoing.end(request.body);
	});
}

// HTTP/1.1 by hand

function write(socket, bytes) {
	if (socket.destroyed) return never();
	return new Promise((resolve) => (socket.write(bytes) ? resolve() : socket.once('drain', resolve)));
}

async function writeForever(socket, bytes) {
	while (!socket.destroyed) {
		await write(socket, bytes);
		await new Promise(setImmediate);
	}
}

async function trickle(socket, bytes, ms) {
	for (const byte of bytes) {
		if (socket.destroyed) return;
		await write(socket, Buffer.from([byte]));
		await sleep(ms);
	}
}

function headBytes(answer, framing) {
	const lines = [answer.statusLine ?? `HTTP/1.1 ${answer.status} ${http.STATUS_CODES[answer.status] ?? 'Status'}`];
	const named = new Set(answer.headers.map(([name]) => name.toLowerCase()));
	for (const [name, value] of answer.headers) lines.push(`${name}: ${value}`);
	if (framing && !named.has('content-length') && !named.has('transfer-encoding')) lines.push(framing);
	return Buffer.from(lines.join('\r\n') + '\r\n\r\n', 'latin1');
}

// True when the connection can be used again.
async function serve(connection, request) {
	const { socket } = connection;
	const isControl = request.path.startsWith('/__ctl');
	let rule = {};
	let answer;
	if (isControl) {
		rule = await control(request);
		answer = await answerOf(rule, request);
		rule = {};
	} else {
		open.add(connection);
		record(request, connection.id, 'HTTP/1.1');
		rule = takeRule(request);
		answer = await answerOf(rule, request);
	}
	if (rule.hold !== undefined) await hold(rule.hold);
	if (rule.delayMs) await sleep(rule.delayMs);
	if (rule.hang) await never();
	if (rule.drop || rule.refuse || rule.goAway) return false;
	if (rule.reset) {
		connection.reset();
		return false;
	}
	if (rule.tunnelTo) return tunnel(socket, rule.tunnelTo);
	if (rule.raw !== undefined || rule.rawBase64 !== undefined) {
		await write(socket, rule.raw !== undefined ? rule.raw : Buffer.from(rule.rawBase64, 'base64'));
		return false;
	}
	if (rule.endless1xx) await writeForever(socket, 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n');
	if (rule.endlessHeaders) {
		await write(socket, 'HTTP/1.1 200 OK\r\n');
		await writeForever(socket, `x-endless: ${'x'.repeat(1000)}\r\n`);
	}
	if (rule.endlessBody) {
		await write(socket, headBytes(answer, 'transfer-encoding: chunked'));
		await writeForever(socket, `4000\r\n${'x'.repeat(0x4000)}\r\n`);
	}
	const head = headBytes(answer, `content-length: ${answer.body.length}`);
	if (rule.trickleHeaders) await trickle(socket, head, rule.trickleMs);
	else await write(socket, head);
	if (rule.resetAfterHeaders) {
		await sleep(20); // or they would not arrive
		connection.reset();
		return false;
	}
	if (rule.stallAfterHeaders) await never();
	if (rule.truncate !== undefined) {
		const kept = rule.truncate === true ? answer.body.length >> 1 : rule.truncate;
		await write(socket, answer.body.subarray(0, kept));
		return false;
	}
	if (rule.trickleMs) await trickle(socket, answer.body, rule.trickleMs);
	else if (answer.body.length > 0 && request.method !== 'HEAD') await write(socket, answer.body);
	if (rule.duplicate) await write(socket, Buffer.concat([head, answer.body]));
	return !rule.closeAfter && !/close/i.test(request.headers.connection ?? '');
}

// The connection is the tunnel's from now on.
function tunnel(socket, to) {
	const [, host, port] = to.match(/^(.*):(\d+)$/);
	const other = net.connect(Number(port), host);
	const end = () => {
		socket.destroy();
		other.destroy();
	};
	socket.removeAllListeners('data');
	socket.on('close', end);
	other.on('close', end);
	other.on('error', end);
	other.on('connect', () => {
		socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
		socket.pipe(other).pipe(socket);
	});
	return never();
}

function dechunk(bytes) {
	const chunks = [];
	let at = 0;
	for (;;) {
		const eol = bytes.indexOf('\r\n', at);
		if (eol < 0) return null;
		const size = parseInt(bytes.toString('latin1', at, eol), 16);
		if (bytes.length < eol + 2 + size + 2) return null;
		if (size === 0) return { body: Buffer.concat(chunks), end: eol + 4 };
		chunks.push(bytes.subarray(eol + 2, eol + 2 + size));
		at = eol + 2 + size + 2;
	}
}

function parseRequest(bytes) {
	const end = bytes.indexOf('\r\n\r\n');
	if (end < 0) return null;
	const [first, ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
	const [method, url] = first.split(' ');
	const headers = {};
	for (const line of lines) {
		const colon = line.indexOf(':');
		const name = line.slice(0, colon).toLowerCase();
		const value = line.slice(colon + 1).trim();
		headers[name] = name in headers ? `${headers[name]}, ${value}` : value;
	}
	const rest = bytes.subarray(end + 4);
	let body;
	let used;
	if (/chunked/i.test(headers['transfer-encoding'] ?? '')) {
		const chunked = dechunk(rest);
		if (chunked === null) return null;
		({ body, end: used } = chunked);
	} else {
		used = Number(headers['content-length'] ?? 0);
		if (rest.length < used) return null;
		body = rest.subarray(0, used);
	}
	return { method, url, path: url.split('?')[0], headers, body, rest: rest.subarray(used) };
}

function serveConnection(socket, reset) {
	const connection = { socket, id: ++connections, reset };
	let bytes = Buffer.alloc(0);
	let busy = false;
	socket.on('error', () => {});
	socket.on('close', () => {
		open.delete(connection);
		wake();
	});
	async function next() {
		if (busy) return;
		busy = true;
		for (let request; (request = parseRequest(bytes)) !== null; ) {
			bytes = request.rest;
			if (!(await serve(connection, request))) {
				socket.end();
				return;
			}
		}
		busy = false;
	}
	socket.on('data', (chunk) => {
		bytes = Buffer.concat([bytes, chunk]);
		next().catch((error) => socket.destroy(error));
	});
}

function onConnection(raw) {
	raw.on('error', () => {});
	raw.setNoDelay(true);
	accepted++;
	const rule = connectRules.find((one) => one.times > 0);
	if (rule?.connect === 'resetAfterTls') rule.times--;
	else if (rule?.connect === 'resetAfterHello') {
		rule.times--;
		raw.once('data', () => raw.resetAndDestroy());
		return;
	} else if (rule) {
		rule.times--;
		if (rule.connect === 'drop') raw.end();
		if (rule.connect === 'reset') raw.resetAndDestroy();
		if (rule.connect === 'raw') raw.end(rule.raw);
		raw.resume();
		return;
	}
	if (!secure) {
		serveConnection(raw, () => raw.resetAndDestroy());
		return;
	}
	under.set(raw.remotePort, { raw, rule });
	tlsServer.emit('connection', raw);
}

const under = new Map(); // the port of a client whose TLS is on its way: what is under it
const tlsServer = secure && tls.createServer({ ...certificate, ALPNProtocols: option.http2 ? ['h2', 'http/1.1'] : ['http/1.1'] });
if (tlsServer) {
	tlsServer.on('tlsClientError', () => {});
	tlsServer.on('secureConnection', (socket) => {
		const { raw, rule } = under.get(socket.remotePort);
		const reset = () => raw.resetAndDestroy();
		under.delete(socket.remotePort);
		socket.on('error', () => {});
		if (rule) reset();
		else if (socket.alpnProtocol === 'h2') http2Server.emit('secureConnection', socket);
		else serveConnection(socket, reset);
	});
}

// HTTP/2: status, headers, body, proxyTo, hold, delayMs, hang, reset, stallAfterHeaders, truncate, endlessBody

async function serveStream(stream, headers, connection) {
	const chunks = [];
	stream.on('error', () => {});
	for await (const chunk of stream) chunks.push(chunk);
	const url = headers[':path'];
	const request = { method: headers[':method'], url, path: url.split('?')[0], headers, body: Buffer.concat(chunks) };
	let rule = {};
	let answer;
	if (request.path.startsWith('/__ctl')) answer = await answerOf(await control(request), request);
	else {
		record(request, connection, 'HTTP/2');
		rule = takeRule(request);
		answer = await answerOf(rule, request);
	}
	if (rule.hold !== undefined) await hold(rule.hold);
	if (rule.delayMs) await sleep(rule.delayMs);
	if (rule.hang) return;
	if (rule.drop) {
		stream.session.destroy();
		return;
	}
	if (rule.goAway) {
		stream.session.goaway(http2.constants.NGHTTP2_NO_ERROR, 0);
		setTimeout(() => stream.session?.destroy(), 20);
		return;
	}
	if (rule.refuse) {
		stream.close(http2.constants.NGHTTP2_REFUSED_STREAM);
		return;
	}
	if (rule.reset) {
		stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
		return;
	}
	const answerHeaders = { ':status': answer.status };
	for (const [name, value] of answer.headers) answerHeaders[name.toLowerCase()] = value;
	if (!rule.endlessBody) answerHeaders['content-length'] = String(answer.body.length);
	stream.respond(answerHeaders);
	if (rule.stallAfterHeaders) return;
	if (rule.endlessBody) await writeForever(stream, 'x'.repeat(0x4000));
	if (rule.truncate !== undefined) {
		stream.end(answer.body.subarray(0, answer.body.length >> 1));
		return;
	}
	stream.end(answer.body);
}

const http2Server = http2.createSecureServer(certificate || {});
const ids = new WeakMap();
http2Server.on('session', (session) => {
	ids.set(session, ++connections);
	session.on('error', () => {});
});
http2Server.on('sessionError', () => {});
http2Server.on('stream', (stream, headers) => {
	serveStream(stream, headers, ids.get(stream.session)).catch(() => stream.destroy());
});

const server = net.createServer(onConnection);
server.listen(Number(option.port), option.host, () => {
	const { port } = server.address();
	const host = option.host.includes(':') ? `[${option.host}]` : option.host;
	const url = `${secure ? 'https' : 'http'}://${host}:${port}`;
	process.stdout.write(JSON.stringify({ ready: true, url, port, pid: process.pid }) + '\n');
});

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
process.stdin.on('error', () => process.exit(0));
process.stdout.on('error', () => process.exit(0));
setTimeout(() => process.exit(0), Number(option.lifetime) * 1000);
