// login.mjs: signs in and agrees at the test provider without a browser.
//
//   node login.mjs URL ACCOUNT [--deny] [--cancel] [--scopes "a b"] [--json] [--ca FILE]
//   node login.mjs --many [the same]     for each line "URL ACCOUNT" of the standard input
//
// Follows URL (what connect_app_user returned) through the login and consent
// pages as ACCOUNT and prints where the browser would be sent at the end: the
// application's callback with code, state and iss.  --json prints that
// address's parameters as an object, with the address itself as "url".
// --cancel refuses at the login page, --deny at the consent page, --scopes
// agrees to those only.  The authority of the provider's certificate comes
// from --ca or $PROVIDER_CA.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import readline from 'node:readline';
import { parseArgs } from 'node:util';

const { values: options, positionals } = parseArgs({
	allowPositionals: true,
	options: {
		deny: { type: 'boolean' },
		cancel: { type: 'boolean' },
		scopes: { type: 'string' },
		json: { type: 'boolean' },
		many: { type: 'boolean' },
		ca: { type: 'string', default: process.env.PROVIDER_CA },
	},
});
if (positionals.length !== (options.many ? 0 : 2)) {
	console.error('usage: node login.mjs URL ACCOUNT [--deny] [--cancel] [--scopes "a b"] [--json] [--ca FILE]');
	process.exit(2);
}
const ca = options.ca ? fs.readFileSync(options.ca) : undefined;
const agents = { 'http:': new http.Agent({ keepAlive: true }), 'https:': new https.Agent({ keepAlive: true, ca }) };
let jar = []; // {name, value, path}

function request(url, form) {
	const cookie = jar.filter((c) => url.pathname.startsWith(c.path)).map((c) => `${c.name}=${c.value}`).join('; ');
	const headers = { accept: 'text/html', ...(cookie && { cookie }) };
	if (form) headers['content-type'] = 'application/x-www-form-urlencoded';
	return new Promise((resolve, reject) => {
		(url.protocol === 'https:' ? https : http).request(url, { agent: agents[url.protocol], method: form ? 'POST' : 'GET', headers }, (res) => {
			for (const line of res.headers['set-cookie'] ?? []) {
				const [pair, ...attributes] = line.split(/; */);
				const [, name, value] = /^([^=]+)=(.*)$/.exec(pair);
				const where = attributes.find((a) => /^path=/i.test(a))?.slice(5) ?? '/';
				const old = jar.findIndex((c) => c.name === name && c.path === where);
				if (old >= 0) jar.splice(old, 1);
				if (value) jar.push({ name, value, path: where });
			}
			let body = '';
			res.setEncoding('utf8').on('data', (chunk) => { body += chunk; }).on('end', () => resolve({ status: res.statusCode, location: res.headers.location, body }));
		}).on('error', reject).end(form?.toString());
	});
}

function fill(page, account) {
	const form = new URLSearchParams();
	if (page.includes('name="account"')) {
		form.set('account', account);
		form.set('action', options.cancel ? 'cancel' : 'login');
		return form;
	}
	const wanted = options.scopes?.split(' ');
	for (const [, scope] of page.matchAll(/name="scope" value="([^"]*)"/g))
		if (!wanted || wanted.includes(scope)) form.append('scope', scope);
	form.set('action', options.deny ? 'deny' : 'allow');
	return form;
}

async function walk(start, account) {
	let url = new URL(start);
	let form;
	jar = [];
	for (let step = 0; step < 20; step++) {
		const answer = await request(url, form);
		form = undefined;
		if (answer.location) {
			const next = new URL(answer.location, url);
			if (next.origin !== url.origin) return next;
			url = next;
		} else {
			const [, action] = /<form method="post" action="([^"]*)"/.exec(answer.body) ?? [];
			if (answer.status !== 200 || !action) {
				console.error(`${url.pathname} answered ${answer.status}: ${answer.body.replace(/<style>.*<\/style>|<[^>]*>/gs, ' ').replace(/\s+/g, ' ')}`);
				process.exit(1);
			}
			url = new URL(action, url);
			form = fill(answer.body, account);
		}
	}
	console.error('login.mjs: too many steps');
	process.exit(1);
}

async function visit(start, account) {
	const { href, searchParams } = await walk(start, account);
	console.log(options.json ? JSON.stringify({ url: href, ...Object.fromEntries(searchParams) }) : href);
}

if (options.many)
	for await (const line of readline.createInterface({ input: process.stdin })) await visit(...line.split(' '));
else await visit(...positionals);
process.exit(0);
