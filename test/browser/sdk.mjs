// sdk.mjs: an application that uses the unmodified @base44/sdk with the gateway: its page in Chromium, its backend function here.
//
//   node sdk.mjs JSON
//
// JSON: { port, gateway, appId, connector, serviceSecret, provider, api, jwt: {person: JWT}, elsewhere (a port, of another origin), visitorCookie }
//
// The application has one origin: its page, its function, and below /api the gateway, as a proxy in front has it.  What page and function do
// is what the package's own reference says: the examples are taken from its comments, and run as they stand there but for the API's
// address.  The connector is called as in these examples.  Prints a line of JSON for each thing found: { name, value }.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { createClientFromRequest } from '@base44/sdk';

const settings = JSON.parse(process.argv[2]);
const origin = `http://localhost:${settings.port}`;
const elsewhere = `http://127.0.0.1:${settings.elsewhere}`;
const modules = path.join(path.dirname(new URL(import.meta.url).pathname), '..', 'node_modules');
const tell = (name, value) => console.log(JSON.stringify({ name, value }));
console.error = () => {}; // the SDK says there what it also throws

// ------------------------------------------------------- the reference's examples

const reference = fs.readFileSync(path.join(modules, '@base44/sdk/dist/modules/connectors.types.d.ts'), 'utf8');

function example(method, number = 0) {
	const comment = reference.slice(0, reference.search(new RegExp(`\\n    ${method}\\(`))).split('/**').pop();
	const code = [...comment.matchAll(/```typescript\n([^]*?)```/g)][number][1].replace(/^ *\* ?/gm, '');
	if (!code.includes(`${method}('`)) throw new Error(`the reference has no example of ${method}`);
	return code;
}

const AsyncFunction = (async () => {}).constructor;
const body = example('getCurrentAppUserConnection').replace('https://www.googleapis.com/calendar/v3/calendars/primary/events', settings.api);
if (!body.includes(settings.api)) throw new Error('the API\'s address was not found');
const getData = new AsyncFunction('base44', 'fetch', `${body}\nreturn data;`);

// The backend function, as the reference writes one: Deno.serve(async (req) => …)
async function handler(req) {
	try {
		const base44 = createClientFromRequest(req);
		return Response.json(await getData(base44, fetch));
	} catch (error) {
		return Response.json({ error: { message: error.message, code: error.code } }, { status: error.status ?? 500 });
	}
}

// -------------------------------------------------------------- the application

const files = {
	'@base44/sdk': '@base44/sdk/dist/index.js', axios: 'axios/dist/esm/axios.js', 'socket.io-client': 'socket.io-client/dist/socket.io.esm.min.js',
	partysocket: 'partysocket/dist/index.mjs', uuid: 'uuid/dist/index.js',
};
const imports = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, `/npm/${file}`]));
const page = (appId) => `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>An application</title>
<script>var process = { env: { NODE_ENV: 'production' } }; // as bundlers have it</script>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">
import { createClient } from '@base44/sdk';
window.makeClient = (token) => createClient({ appId: ${JSON.stringify(appId)}, serverUrl: ${JSON.stringify(origin)}, token });
document.title = 'The application is here';
</script><body><h1>An application</h1>`;

const headersSeen = [];

async function serve(request, response) {
	const url = new URL(request.url, origin);
	if (url.pathname.startsWith('/npm/')) {
		const file = path.join(modules, url.pathname.slice(5));
		return response.writeHead(200, { 'content-type': 'text/javascript' }).end(fs.readFileSync(file));
	}
	if (url.pathname === `/api/apps/${settings.appId}/functions/events`) {
		// as the platform does: it adds who the application is to what came from the person
		const answer = await handler(new Request(origin + request.url, {
			headers: {
				...(request.headers.authorization && { Authorization: request.headers.authorization }),
				'Base44-Service-Authorization': `Bearer ${settings.serviceSecret}`, 'Base44-App-Id': settings.appId, 'Base44-Api-Url': settings.gateway,
			},
		}));
		return response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
	}
	if (url.pathname.startsWith('/api/')) {
		if (url.pathname.endsWith('/initiate')) headersSeen.push(request.headers);
		const to = http.request(settings.gateway + request.url, { method: request.method, headers: request.headers }, (from) => {
			response.writeHead(from.statusCode, from.headers);
			from.pipe(response);
		});
		return request.pipe(to);
	}
	return response.writeHead(200, { 'content-type': 'text/html' }).end(page(settings.appId));
}

const servers = [settings.port, settings.elsewhere].map((port) => http.createServer((request, response) => {
	serve(request, response).catch((error) => response.writeHead(500).end(String(error)));
}).listen(port, '127.0.0.1'));
// "localhost" may be ::1 first
const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
	args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
		'--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
});

async function open(context, at, person) {
	const tab = await context.newPage();
	tab.setDefaultTimeout(15000);
	await tab.goto(`${at}/`);
	await tab.waitForFunction(() => document.title === 'The application is here');
	await tab.evaluate((token) => { window.base44 = window.makeClient(token); }, settings.jwt[person]);
	return tab;
}

// Runs an example of the reference in the page; its error, if there is one
const run = (tab, code) => tab.evaluate(`(async () => { const base44 = window.base44; try { ${code}; return 'done'; } catch (error) { return { name: error.name, status: error.status, code: error.code, message: error.message }; } })()`);
const call = (tab) => tab.evaluate(`window.base44.functions.invoke('events', {}).then((answer) => ({ status: 200, data: answer.data ?? answer }), (error) => ({ status: error.response?.status, code: error.response?.data?.error?.code, message: error.message }))`);

async function consent(tab, account) {
	await tab.waitForURL((url) => url.origin === new URL(settings.provider).origin);
	await tab.getByLabel('Account').fill(account);
	await tab.getByLabel('Password').fill('any password will do');
	await tab.getByRole('button', { name: 'Sign in' }).click();
	await tab.getByRole('button', { name: 'Allow' }).click();
	await tab.waitForURL((url) => url.origin === origin);
}

let status = 0;
try {
	const context = await browser.newContext();
	const tab = await open(context, origin, 'alice');
	tell('before', await call(tab));
	await tab.evaluate(`(async () => { const base44 = window.base44; ${example('connectAppUser')} })()`).catch(() => {}); // the page goes away under it
	await consent(tab, 'alice-at-the-provider');
	tell('back', tab.url().slice(origin.length));
	tell('body', headersSeen[0]['content-length']);

	const again = await open(context, origin, 'alice');
	tell('data', await call(again));
	const other = await open(context, origin, 'bob');
	tell('another person', await call(other));
	tell('no such connector', await run(again, `await base44.connectors.connectAppUser('nothing')`));
	await again.evaluate(() => { window.base44 = window.makeClient('not.a.jwt'); });
	tell('not signed in', await run(again, example('disconnectAppUser')));
	await again.evaluate((token) => { window.base44 = window.makeClient(token); }, settings.jwt.alice);
	tell('disconnect', await run(again, example('disconnectAppUser')));
	tell('after', await call(again));

	// A page of another origin, whose calls have no cookies: the person is known by the application's own
	const far = await browser.newContext();
	await far.addCookies([{ name: settings.visitorCookie, value: settings.jwt.carol, url: origin, httpOnly: true, sameSite: 'Lax' }]);
	const page2 = await open(far, elsewhere, 'carol');
	await page2.evaluate(`(async () => { const base44 = window.base44; ${example('connectAppUser')} })()`).catch(() => {});
	await consent(page2, 'carol-at-the-provider');
	tell('from elsewhere', page2.url().slice(origin.length));
	const page3 = await open(far, elsewhere, 'carol');
	tell('disconnect from elsewhere', await run(page3, example('disconnectAppUser')));
	tell('an origin that is not allowed', await page3.evaluate((url) => fetch(`${url}/api/apps/x/app-user-auth/connectors/y/token`).then(() => 'read', () => 'not read'), origin));
} catch (error) {
	process.stderr.write(`sdk.mjs: ${error.stack}\n`);
	status = 1;
}
await browser.close();
for (const server of servers) {
	server.closeAllConnections();
	server.close();
}
process.exit(status);
