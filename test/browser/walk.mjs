// walk.mjs: signs in and agrees at the test provider with a real browser.
//
//   node walk.mjs URL ACCOUNT [--deny] [--scopes "a b"] [--json] [--ca FILE]
//                 [--screenshots DIR] [--verbose]
//
// Opens URL (what connect_app_user returned) in Chromium, signs in as ACCOUNT,
// agrees, and lets the browser come back to the redirect URI, where a small
// listener stands in for the application.  Prints the address on which the
// browser arrived, as provider/login.mjs does.  The redirect URI must be http
// on a loopback port that is free.  $CHROMIUM names the browser
// (/usr/bin/chromium), $PROVIDER_CA the authority of the provider's certificate.
import crypto from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import tls from 'node:tls';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: options, positionals: [start, account] } = parseArgs({
	allowPositionals: true,
	options: {
		deny: { type: 'boolean' },
		scopes: { type: 'string' },
		json: { type: 'boolean' },
		ca: { type: 'string', default: process.env.PROVIDER_CA },
		screenshots: { type: 'string' },
		verbose: { type: 'boolean' },
	},
});
if (!start || !account) {
	console.error('usage: node walk.mjs URL ACCOUNT [--deny] [--scopes "a b"] [--json] [--ca FILE] [--screenshots DIR] [--verbose]');
	process.exit(2);
}
const url = new URL(start);
const redirect = new URL(url.searchParams.get('redirect_uri'));
const say = (...words) => options.verbose && console.error(...words);

// Chromium has no option for one more authority.  So check the certificate
// here, against that authority, and tell the browser to accept that one key.
function trustedKey() {
	return new Promise((resolve, reject) => {
		const socket = tls.connect({ host: url.hostname, port: url.port || 443, ca: fs.readFileSync(options.ca) }, () => {
			const key = socket.getPeerX509Certificate().publicKey.export({ type: 'spki', format: 'der' });
			socket.end();
			resolve(crypto.createHash('sha256').update(key).digest('base64'));
		}).on('error', reject);
	});
}

// The application's side: what the browser is sent back to.
let arrive;
const arrival = new Promise((resolve) => { arrive = resolve; });
const listener = http.createServer((req, res) => {
	const at = new URL(req.url, redirect);
	res.setHeader('content-type', 'text/html; charset=utf-8');
	if (at.pathname !== redirect.pathname) {
		res.statusCode = 404;
		res.end();
		return;
	}
	const failure = at.searchParams.get('error');
	res.end(`<!DOCTYPE html><html lang="en"><title>Example application</title><body style="font: 16px sans-serif; margin: 4rem">
<h1>${failure ? 'Not connected' : 'Connected'}</h1><p>You are back at the application and can close this window.</p>`);
	arrive(at);
});
await new Promise((resolve, reject) => {
	listener.on('error', reject).listen(redirect.port || 80, redirect.hostname.replace(/^\[|\]$/g, ''), resolve);
});

const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
	'--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'];
if (url.protocol === 'https:' && options.ca) flags.push(`--ignore-certificate-errors-spki-list=${await trustedKey()}`);

let step = 0;
async function picture(page, name) {
	if (!options.screenshots) return;
	fs.mkdirSync(options.screenshots, { recursive: true });
	await page.screenshot({ path: path.join(options.screenshots, `${++step}-${name}.png`) });
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
let status = 0;
try {
	const page = await browser.newPage({ viewport: { width: 640, height: 520 } });
	page.setDefaultTimeout(15000);
	await page.goto(start);
	say(`the browser shows "${await page.title()}" at ${url.origin}`);
	await page.getByLabel('Account').fill(account);
	await page.getByLabel('Password').fill('any password will do');
	await picture(page, 'sign-in');
	await page.getByRole('button', { name: 'Sign in' }).click();

	await page.getByRole('heading', { name: 'Allow access?' }).waitFor();
	say(`the browser shows "${await page.title()}"`);
	const boxes = page.getByRole('checkbox');
	const wanted = options.scopes?.split(' ');
	for (const box of await boxes.all()) await box.setChecked(!wanted || wanted.includes(await box.inputValue()));
	await picture(page, 'consent');
	await page.getByRole('button', { name: options.deny ? 'Deny' : 'Allow' }).click();

	let timer;
	const limit = new Promise((_resolve, reject) => { timer = setTimeout(() => reject(new Error('the browser did not come back')), 15000); });
	const at = await Promise.race([arrival, limit]);
	clearTimeout(timer);
	await page.waitForURL(at.href);
	say(`the browser is back at ${at.origin}${at.pathname}`);
	await picture(page, 'back');
	console.log(options.json ? JSON.stringify({ url: at.href, ...Object.fromEntries(at.searchParams) }) : at.href);
} catch (error) {
	console.error(`walk.mjs: ${error.message}`);
	status = 1;
} finally {
	await browser.close();
	listener.closeAllConnections();
	listener.close();
}
process.exitCode = status;
