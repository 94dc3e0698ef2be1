#!/usr/bin/env node
// fault-server.mjs [--host 127.0.0.1] [--port 0] [--tls-cert FILE --tls-key FILE] [--http2 | --http2-flood KIND]
//                  [--proxy-to URL] [--lifetime SECONDS]
//
// A server that answers as badly as it is told to. It speaks HTTP/1.1 by hand on plain sockets, so that a
// test can script any bytes. Prints one line {"ready":true,"url":...,"port":...,"pid":...} and exits when
// its standard input closes, or after its lifetime (900 s).
//
// With --http2-flood it has no rules: to each request it answers the status 200, and then frames without
// end that carry nothing: KIND is data (of the answer's body) or ping.
//
// Control, on the same port:
//   POST /__ctl [rule, ...]               replaces the rules
//   POST /__ctl {"add":[rule, ...]}       puts rules before the others
//   POST /__ctl {"release":"NAME"}        lets all requests go on that are held by that name
//   POST /__ctl {"connect":"hang"|"drop"|"reset"|"raw", "raw":"...", "times":1}
//                                         what happens to the next connections, before TLS and HTTP
//   POST /__ctl {"reset":true}            forgets rules, records and counters
//   GET  /__ctl                           {"requests":[...],"counts":{path:n},"held":{name:n},"connections":n,"open":n}
//   GET  /__ctl/wait?path=P&count=N       answers when N requests have been seen at P (or held=NAME: when N
//                                         are held; open=1: when at most N connections are open, of those that
//                                         have asked for something else than control), or with 504 after
//                                         timeoutMs (default 10000, at most 60000)
//
// A rule: which requests (path, "*" at its end matches any rest; method; times, unlimited when absent), then
//   status (200), headers {name: value or [values]}, body (string, or anything else as JSON), bodyBase64
//   echo               the body is the request's
//   raw, rawBase64     exactly these bytes instead of an HTTP answer, then the connection is closed
//   proxyTo            another server's base URL: the request is forwarded, and what follows befalls the answer;
//                      keepHost: with the Host header as it came
//   hold NAME          waits for release; delayMs; then one of
//   hang               never answers
//   drop, reset        closes the connection, by FIN or by RST
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

const { values: option } = parseArgs({
	options: {
		host: { type: 'string', default: '127.0.0.1' },
		port: { type: 'string', default: '0' },
		'tls-cert': { type: 'string' },
		'tls-key': { type: 'string' },
		http2: { type: 'boolean', default: false },
		'http2-flood': { type: 'string' },
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

function record(request, connection) {
	requests.push({
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
		return { body: { requests, counts, held: heldCounts, connections, open: open.size } };
	}
	const command = JSON.parse(request.body.toString());
	if (Array.isArray(command)) rules = command;
	if (command.reset) {
		rules = [];
		connectRules = [];
		requests = [];
		counts = {};
		connections = 0;
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
	for (const [name, value] of Object.entries(rule.headers ?? {})) {
		const same = headers.findIndex(([other]) => other === name.toLowerCase());
		if (same >= 0) headers.splice(same, 1);
		for (const one of [value].flat()) headers.push([name, one]);
	}
	return { status: rule.status ?? 200, headers, body };
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
	const lines = [`HTTP/1.1 ${answer.status} ${http.STATUS_CODES[answer.status] ?? 'Status'}`];
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
		record(request, connection.id);
		rule = takeRule(request);
		answer = await answerOf(rule, request);
	}
	if (rule.hold !== undefined) await hold(rule.hold);
	if (rule.delayMs) await sleep(rule.delayMs);
	if (rule.hang) await never();
	if (rule.drop) return false;
	if (rule.reset) {
		connection.reset();
		return false;
	}
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
	const rule = connectRules.find((one) => one.times > 0);
	if (rule) {
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
	const socket = new tls.TLSSocket(raw, {
		isServer: true,
		secureContext: tls.createSecureContext(certificate),
		ALPNProtocols: ['http/1.1'],
	});
	serveConnection(socket, () => raw.resetAndDestroy());
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
		record(request, connection);
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

function createHttp2Server() {
	const server = http2.createSecureServer({ ...certificate, allowHTTP1: false });
	const ids = new WeakMap();
	server.on('session', (session) => {
		ids.set(session, ++connections);
		session.on('error', () => {});
	});
	server.on('sessionError', () => {});
	server.on('stream', (stream, headers) => {
		serveStream(stream, headers, ids.get(stream.session)).catch(() => stream.destroy());
	});
	return server;
}

// RFC 9113 §4.1, §6
function frame(type, flags, stream, payload = Buffer.alloc(0)) {
	const header = Buffer.alloc(9);
	header.writeUIntBE(payload.length, 0, 3);
	header.writeUInt8(type, 3);
	header.writeUInt8(flags, 4);
	header.writeUInt32BE(stream, 5);
	return Buffer.concat([header, payload]);
}

function createHttp2Flood() {
	const DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6;
	const END_STREAM = 1, ACK = 1, END_HEADERS = 4;
	const STATUS_200 = Buffer.from([0x88]);
	const PREFACE = 24;

	async function flood(socket, stream) {
		const empty = option['http2-flood'] === 'ping' ? frame(PING, 0, 0, Buffer.alloc(8)) : frame(DATA, 0, stream);
		socket.write(frame(HEADERS, END_HEADERS, stream, STATUS_200));
		await writeForever(socket, Buffer.concat(Array(2000).fill(empty)));
	}

	return tls.createServer({ ...certificate, ALPNProtocols: ['h2'] }, (socket) => {
		let received = Buffer.alloc(0);
		let preface = false;
		socket.on('error', () => {});
		socket.write(frame(SETTINGS, 0, 0));
		socket.on('data', (data) => {
			received = Buffer.concat([received, data]);
			if (!preface && received.length < PREFACE) return;
			if (!preface) received = received.subarray(PREFACE);
			preface = true;
			while (received.length >= 9 && received.length >= 9 + received.readUIntBE(0, 3)) {
				const length = received.readUIntBE(0, 3);
				const [type, flags] = received.subarray(3, 5);
				const stream = received.readUInt32BE(5);
				received = received.subarray(9 + length);
				if (type === SETTINGS && !(flags & ACK)) socket.write(frame(SETTINGS, ACK, 0));
				if ((type === HEADERS || type === DATA) && flags & END_STREAM) flood(socket, stream).catch(() => socket.destroy());
			}
		});
	});
}

const server = option['http2-flood'] ? createHttp2Flood() : option.http2 ? createHttp2Server() : net.createServer(onConnection);
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
