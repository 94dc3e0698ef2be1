// pages.mjs: goes through the gateway's pages as people do, for 106_pages.pl.
//
//   node pages.mjs '{"origin", "foreign", "provider", "jwt": {NAME: JWT}, "pictures", "host", "port"}'
//
// Prints a line of JSON for each thing that was looked at: {"ok", "name", "why"}.  Writes a picture of each page, light, dark and
// as wide as a phone, into the directory `pictures`.  "foreign" is a free port for a page of another origin.  "only": the names of scenarios, separated by commas.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { createRequire } from 'node:module';
import pg from 'pg';
import { chromium } from 'playwright-core';

const given = JSON.parse(process.argv[2]);
const { origin, provider, jwt, pictures } = given;
const axeSource = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SECRET = 'app secret: 100%+/&=';
fs.rmSync(pictures, { recursive: true, force: true });
fs.mkdirSync(pictures, { recursive: true });

const tell = (ok, name, why) => console.log(JSON.stringify({ ok: Boolean(ok), name, ...(!ok && why !== undefined && { why: String(why) }) }));
const is = (got, wanted, name) => tell(got === wanted, name, `got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
const like = (got, wanted, name) => tell(wanted.test(got), name, `got ${JSON.stringify(got)}`);

const sql = new pg.Client({ host: given.host, port: given.port, user: 'postgres', database: 'postgres' });
await sql.connect();
const order = (what) => fetch(`${provider}/__ctl`, { method: 'POST', body: JSON.stringify(what) });
async function until(what, done, limit = 30_000) {
	for (const end = Date.now() + limit; !(await done());) {
		if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
		await new Promise((resolve) => { setTimeout(resolve, 50); });
	}
}

const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
	args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
		'--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
});

// ------------------------------------------------------------------ people

const complaints = []; // of the browser: a policy that was broken, a script that failed
const contexts = [];

// A browser of one person's, signed in to the application
async function personOf(name, options = {}) {
	const context = await browser.newContext({ viewport: { width: 1100, height: 800 }, ...options });
	context.setDefaultTimeout(20_000);
	contexts.push(context);
	if (name) await context.addCookies([{ name: '__Host-visitor', value: jwt[name], domain: 'localhost', path: '/', secure: true, httpOnly: true, sameSite: 'Lax' }]);
	context.on('page', (page) => {
		page.on('console', (message) => { if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) complaints.push(`${page.url()}: ${message.text()}`); });
		page.on('pageerror', (error) => complaints.push(`${page.url()}: ${error.message}`));
	});
	return context;
}

async function at(context, where = '/connections') {
	const page = await context.newPage();
	await page.goto(origin + where);
	return page;
}

// axe and pictures of a page as it is: light, dark, phone
async function look(page, name) {
	const size = page.viewportSize();
	const found = [];
	if (!await page.evaluate(() => 'axe' in window)) await page.evaluate(axeSource);
	// all rules once; again those that colours and width make a difference to
	const check = async (how, only) => {
		const { violations } = await page.evaluate((rules) => window.axe.run(document, {
			resultTypes: ['violations'], ...(rules ? { runOnly: rules } : { rules: { 'target-size': { enabled: true } } }),
		}), only);
		found.push(...violations.flatMap((v) => v.nodes.map((n) => `${how}: ${v.id}: ${n.target} ${n.failureSummary?.split('\n')[1] ?? ''}`)));
		await page.screenshot({ path: path.join(pictures, `${name}-${how}.png`), fullPage: true, animations: 'disabled' });
	};
	await page.emulateMedia({ colorScheme: 'dark', reducedMotion: 'reduce' });
	await check('dark', ['color-contrast']);
	await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
	await check('light');
	await page.setViewportSize({ width: 360, height: 720 });
	await check('phone', ['target-size', 'scrollable-region-focusable']);
	const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
	if (wide > 0) found.push(`phone: ${wide} px too wide`);
	await page.setViewportSize(size);
	is(found.join('\n'), '', `${name}: axe finds nothing, and it fits a phone`);
}

const card = (page, name) => page.locator('section.card', { has: page.getByRole('heading', { level: 2, name, exact: true }) });
const badgeOf = (page, name) => card(page, name).locator('.badge').first().textContent();
const noticeOf = (page) => page.locator('.notice').first().textContent();
const button = (page, name) => page.getByRole('button', { name, exact: true });

// At the provider, whose page this is: who signs in, and what they say
async function signIn(page, account) {
	await page.waitForURL((url) => url.origin === provider);
	if (await page.getByLabel('Account').count() > 0) {
		await page.getByLabel('Account').fill(account);
		await page.getByLabel('Password').fill('any');
		await button(page, 'Sign in').click();
	}
}
async function agree(page, account, { deny = false, without = [] } = {}) {
	await signIn(page, account);
	await page.getByRole('heading', { name: 'Allow access?' }).waitFor();
	for (const scope of without) await page.getByRole('checkbox', { name: scope }).uncheck();
	await button(page, deny ? 'Deny' : 'Allow').click();
}
const forgetProvider = (context) => context.clearCookies({ domain: '127.0.0.1' });
const back = (page, where = '/connections') => page.waitForURL((url) => url.origin === origin && url.pathname === where);
async function connect(page, name, account, options) {
	await button(page, `Connect ${name}`).click();
	await agree(page, account, options);
	await back(page);
}

async function register(id, name, options = {}) {
	await sql.query(`SELECT appuser_connectors.register_connector($7, client_id => $1, client_secret => $2, scopes => $3, redirect_uris => $4, connector_id => $5, name => $6)`,
		[options.client ?? 'app', options.secret ?? SECRET, options.scopes ?? ['openid', 'email', 'read'], [`${origin}/api/external-auth/callback`], id, name, options.provider ?? 'acme']);
}

// --------------------------------------------------------------- scenarios

const scenarios = {
	async nobody() {
		const context = await personOf(null);
		const page = await at(context);
		like(await page.textContent('h1'), /sign in/i, 'whoever is not signed in is told so');
		await look(page, 'sign-in');
		await page.getByRole('link', { name: 'Sign in to the demonstration' }).click();
		await look(page, 'demo');
		await button(page, 'Sign in as bob').click();
		await back(page);
		is(await page.locator('h1').textContent(), 'Your connections', 'in a demonstration it leads to where one signs in');
		await context.clearCookies();
		const admin = await at(context, '/admin');
		like(await admin.textContent('h1'), /sign in/i, 'on the pages for admins, too');
		for (const junk of ['/connections/nowhere', '/api/external-auth/callback?state=made-up&code=x']) {
			const odd = await at(context, junk);
			await look(odd, junk.includes('callback') ? 'refused' : 'not-found');
		}
	},

	async admin() {
		const root = await personOf('root');
		const alice = await personOf('alice');
		const outsider = await at(alice, '/admin');
		like(await outsider.textContent('main'), /for administrators/, 'a person is no admin');
		is(await outsider.getByRole('link', { name: 'Administration' }).count(), 0, 'and is not led there');
		is((await alice.request.post(`${origin}/admin/new/acme`, { headers: { origin, 'sec-fetch-site': 'same-origin' }, form: { client_id: 'x', connector_id: 'stolen' } })).status(), 403, 'nor may register anything');
		is((await root.request.post(`${origin}/admin/new/acme`, { headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, form: { client_id: 'x', connector_id: 'stolen' } })).status(), 403, 'another site\'s form does nothing for an admin');

		const empty = await at(root);
		await look(empty, 'connections-empty');
		const page = await at(root, '/admin');
		await look(page, 'admin-first');
		await page.getByRole('link', { name: 'Choose a provider' }).click();
		await page.getByLabel('Search the catalogue').fill('google');
		await button(page, 'Search').click();
		await page.getByRole('link', { name: /^Google Calendar/ }).waitFor();
		await look(page, 'admin-catalogue');
		await page.getByRole('link', { name: /^Google Calendar/ }).click();
		is(await page.textContent('#redirect-uri'), `${origin}/api/external-auth/callback`, 'the redirect URI to paste is there');
		like(await page.getByRole('link', { name: /^Documentation and console/ }).getAttribute('href'), /^https:/, 'and where to');
		await page.goto(`${origin}/admin/new/zendesk`);
		await page.goto(`${origin}/admin/new/acme`);
		await look(page, 'admin-client');

		// what the database refuses is said, and what was typed is there but for the secret
		const fill = async ({ id = 'app', secret = SECRET, scopes = 'openid email read', connector, name }) => {
			await page.goto(`${origin}/admin/new/acme`);
			await page.getByLabel('Client id').fill(id);
			await page.getByLabel('Client secret').fill(secret);
			await page.getByLabel('Scopes').fill(scopes);
			await page.getByLabel('Id of the connector').fill(connector);
			await page.getByLabel('Name that people see').fill(name);
			await button(page, 'Save and try it').click();
		};
		await fill({ connector: 'x'.repeat(300), name: 'Too long' });
		like(await noticeOf(page), /It was not saved/, 'what cannot be saved is refused');
		await look(page, 'admin-client-refused');
		is(await page.getByLabel('Client id').inputValue(), 'app', 'what was typed is still there');
		is(await page.getByLabel('Client secret').inputValue(), '', 'but for the secret');
		is((await page.content()).includes('app secret'), false, 'which is nowhere in the page');

		// the provider's definition is another one by the time that the secret comes
		await page.getByLabel('Id of the connector').fill('moved');
		await page.getByLabel('Client secret').fill(SECRET);
		const moved = (endpoint) => sql.query(`SELECT appuser_connectors.register_provider('acme', definition || jsonb_build_object('token_endpoint', $1::text)) FROM appuser_connectors.providers WHERE provider = 'acme'`, [endpoint]);
		await moved(`${provider}/token/elsewhere`);
		await button(page, 'Save and try it').click();
		like(await noticeOf(page), /would go to .*elsewhere/, 'a secret goes where the form said, or nowhere');
		is((await sql.query(`SELECT FROM appuser_connectors.connectors`)).rowCount, 0, 'and nothing is registered');
		await moved(`${provider}/token`);

		// a wrong secret
		await fill({ secret: 'wrong secret', connector: 'files', name: 'Acme Files' });
		await page.waitForURL(/\/admin\/connectors\/files\/try$/);
		await look(page, 'admin-try');
		const tryIt = async (account, options) => {
			await page.getByRole('button', { name: /^Try it/ }).click();
			await agree(page, account, options);
			await back(page, '/admin/connectors/files/try');
		};
		await tryIt('root');
		like(await noticeOf(page), /does not accept the client id with this client secret/, 'a wrong client secret is said as such');
		like(await page.textContent('main'), /invalid_client/, 'with the provider\'s own words');
		await look(page, 'admin-try-secret');
		await page.getByRole('link', { name: 'Change the client' }).click();
		await page.getByLabel('Client secret').fill(SECRET);
		await button(page, 'Save client').click();
		like(await noticeOf(page), /The client is changed/, 'it is corrected');

		// a wrong redirect URI: nothing comes back
		const redirects = (uris) => order({ clients: [{ client_id: 'app', redirect_uris: uris }] });
		await redirects(['http://localhost:1/elsewhere']);
		await page.goto(`${origin}/admin/connectors/files/try`);
		await button(page, 'Try it now').click();
		await page.waitForURL((url) => url.origin === provider);
		await page.goBack();
		await page.reload();
		like(await noticeOf(page), /has not come back/, 'a trial that the provider stops is said to be out');
		like(await page.locator('dl.help').textContent(), new RegExp(`redirect URI.*${origin}/api/external-auth/callback`), 'with the redirect URI that the provider should know');
		is(await page.locator('dl.help').isVisible(), true, 'in sight');
		await look(page, 'admin-try-waiting');
		await redirects([`${origin}/api/external-auth/callback`]);

		// one that the provider looks at only when the code is exchanged
		await order({ faults: [{ path: '/token', status: 400, body: { error: 'invalid_grant', error_description: 'redirect_uri mismatch' }, times: 1 }] });
		await page.getByRole('button', { name: /^Try it/ }).click();
		await agree(page, 'root');
		await back(page, '/admin/connectors/files/try');
		like(await noticeOf(page), /redirect URI is not the one/, 'a wrong redirect URI is said as such');

		// a scope that the provider does not allow
		const allowed = (scope) => order({ clients: [{ client_id: 'app', scope }] });
		await page.goto(`${origin}/admin/connectors/files`);
		await page.getByLabel('Scopes').fill('openid email read write');
		await button(page, 'Save scopes').click();
		like(await noticeOf(page), /scopes are changed/, 'scopes can be changed');
		await allowed('openid email read');
		await page.getByRole('link', { name: 'Try it' }).click();
		await page.getByRole('button', { name: /^Try it/ }).click();
		await page.waitForURL(/failure=/);
		like(await noticeOf(page), /does not know, or does not allow, a scope/, 'a scope that the provider refuses is said as such');
		await look(page, 'admin-try-scope');
		await page.getByRole('link', { name: 'Change scopes' }).click();
		await page.getByLabel('Scopes').fill('openid email read');
		await button(page, 'Save scopes').click();
		await allowed('openid offline_access profile email read write');

		// less than was asked for
		await forgetProvider(root);
		await order({ revoke: { account: 'root' } });
		await page.goto(`${origin}/admin/connectors/files/try`);
		await tryIt('root', { without: ['email'] });
		like(await noticeOf(page), /Not granted, although asked for/, 'a missing scope is said as such');
		await look(page, 'admin-try-missing');
		await forgetProvider(root);
		await order({ revoke: { account: 'root' } });
		await tryIt('root', { deny: true });
		like(await noticeOf(page), /did not agree/, 'and that one has refused');
		await tryIt('root');
		like(await noticeOf(page), /It works/, 'in the end it works');
		await look(page, 'admin-try-works');
		await button(page, 'Remove the trial’s connection').click();
		like(await noticeOf(page), /removed/, 'and the trial is removed');
		is((await sql.query('SELECT count(*)::int AS n FROM appuser_connectors.connection_status')).rows[0].n, 0, 'nothing is left of it');
	},

	async person() {
		await register('calendar', 'Acme Calendar');
		await register('notes', 'Acme Notes', { scopes: ['openid'] });
		const context = await personOf('alice');
		const page = await at(context);

		// the site is the person's to say
		await sql.query(`SELECT appuser_connectors.register_provider('sites', definition || '{"name": "Sites", "authorization_params": {"site": "{site}"},
			"connection_config_fields": {"site": {"source": "user", "pattern": "^[a-z]+$", "title": "Your site"}}}') FROM appuser_connectors.providers WHERE provider = 'acme'`);
		await register('sites', 'Acme Sites', { provider: 'sites' });
		await until('its field is known', async () => { await page.reload(); return await card(page, 'Acme Sites').getByLabel('Your site').count() > 0; });
		await card(page, 'Acme Sites').getByLabel('Your site').fill('NOT/GOOD');
		await button(page, 'Connect Acme Sites').click();
		like(await noticeOf(page), /does not take one of the values/, 'a site that cannot be is refused');
		await card(page, 'Acme Sites').getByLabel('Your site').fill('mine');
		await look(page, 'connections-field');
		await connect(page, 'Acme Sites', 'alice');
		is((await sql.query(`SELECT connection_config ->> 'site' AS site FROM appuser_connectors.app_user_connection('alice', 'sites')`)).rows[0].site, 'mine', 'one that can be is kept');
		await page.getByRole('link', { name: 'Disconnect Acme Sites' }).click();
		await page.getByRole('button', { name: /^Disconnect/ }).click();
		await sql.query(`SELECT appuser_connectors.delete_connector('sites')`);
		await forgetProvider(context);
		await page.goto(`${origin}/connections`);
		is(await badgeOf(page, 'Acme Calendar'), 'Not connected', 'at first nothing is connected');

		// while the redirect is under way
		await page.route(`${provider}/**`, (route) => route.fulfill({ status: 204 }));
		await button(page, 'Connect Acme Calendar').click();
		await page.getByRole('heading', { name: 'Going to Acme Calendar' }).waitFor();
		await look(page, 'leaving');
		await page.unroute(`${provider}/**`);
		await page.goto(`${origin}/connections`);

		// there and back again
		await button(page, 'Connect Acme Calendar').click();
		await page.getByLabel('Account').waitFor();
		await page.goBack();
		await page.waitForURL(`${origin}/connections`);
		is(await badgeOf(page, 'Acme Calendar'), 'Not connected', 'whoever comes back by the browser\'s button is where they were');

		await connect(page, 'Acme Calendar', 'alice', { deny: true });
		like(await noticeOf(page), /You did not agree/, 'whoever refuses is told so');
		await look(page, 'connections-denied');
		is(await badgeOf(page, 'Acme Calendar'), 'Not connected', 'and is not connected');
		await connect(page, 'Acme Calendar', 'alice');
		like(await noticeOf(page), /Acme Calendar is connected/, 'a second try connects');
		is(await badgeOf(page, 'Acme Calendar'), 'Connected', 'and shows');
		like(await card(page, 'Acme Calendar').textContent(), /Signed in there as\s*alice@example\.test/, 'whose account it is');
		await look(page, 'connections-connected');
		await page.reload();
		is(await page.locator('.notice').count(), 0, 'a reload tells it no more');
		is(await badgeOf(page, 'Acme Calendar'), 'Connected', 'and it is so');
		await page.goBack().catch(() => {});
		await page.goto(`${origin}/connections`);
		is(await badgeOf(page, 'Acme Calendar'), 'Connected', 'going back undoes nothing');

		// another account
		await forgetProvider(context);
		const calendar = card(page, 'Acme Calendar');
		await calendar.getByText('Add another account').click();
		await page.getByLabel('A name for it, such as Work').first().fill('default');
		await button(page, 'Connect another account of Acme Calendar').click();
		like(await noticeOf(page), /account of that name/, 'an account needs a name of its own');
		await card(page, 'Acme Calendar').getByText('Add another account').click();
		await card(page, 'Acme Calendar').getByLabel('A name for it, such as Work').fill('Work <b>&"');
		await look(page, 'connections-another');
		await button(page, 'Connect another account of Acme Calendar').click();
		await agree(page, 'alice-at-work');
		await back(page);
		like(await noticeOf(page), /Acme Calendar, Work <b>&" is connected/, 'a second account is connected');
		is(await calendar.locator('li.account').count(), 2, 'beside the first');
		like(await calendar.textContent(), /alice-at-work/, 'under its own name');
		await look(page, 'connections-two');

		// the grant is gone
		await order({ revoke: { account: 'alice' } });
		await sql.query(`UPDATE appuser_connectors.connections SET expires_at = now() - interval '1 s' WHERE app_user = 'alice' AND connection_name = 'default'`);
		await sql.query(`SELECT FROM appuser_connectors.app_user_connection('alice', 'calendar')`).catch((e) => is(e.code, 'UC002', 'the grant is gone'));
		await page.goto(`${origin}/connections`);
		is(await badgeOf(page, 'Acme Calendar'), 'Ended', 'which the page says');
		like(await calendar.textContent(), /no longer accepts this connection/, 'in plain words');
		await look(page, 'connections-reconnect');
		await forgetProvider(context);
		await button(page, 'Connect again Acme Calendar').click();
		await agree(page, 'alice');
		await back(page);
		is(await badgeOf(page, 'Acme Calendar'), 'Connected', 'and mends');

		// the provider is down
		await order({ faults: [{ path: '/token', status: 503 }] });
		await button(page, 'Connect Acme Notes').click();
		await agree(page, 'alice');
		await back(page);
		like(await noticeOf(page), /does not answer just now/, 'that the provider is down is not the person\'s fault');
		await look(page, 'connections-down');
		await order({ faults: [] });

		// a flow that took too long
		const state = new URL((await flowOf(page, 'Acme Notes')).url).searchParams.get('state');
		await sql.query(`ALTER SYSTEM SET appuser_connectors.authorization_lifetime = 1`);
		await sql.query('SELECT pg_reload_conf()');
		const old = await flowOf(page, 'Acme Notes');
		await new Promise((resolve) => { setTimeout(resolve, 1_500); }); // the flow's own second
		const late = await at(context, `/api/external-auth/callback?${new URLSearchParams({ state: new URL(old.url).searchParams.get('state'), code: 'x', iss: provider })}`);
		like(await late.textContent('main'), /begin again|old/i, 'a flow that took too long says to begin again');
		await look(late, 'expired');
		await late.close();
		await sql.query(`ALTER SYSTEM RESET appuser_connectors.authorization_lifetime`);
		await sql.query('SELECT pg_reload_conf()');
		tell(state, 'there was another flow');

		// live: another tab
		const other = await at(context);
		await page.bringToFront();
		await page.goto(`${origin}/connections`);
		await page.getByRole('link', { name: 'Disconnect Acme Calendar, Work <b>&"' }).click();
		await look(page, 'disconnect');
		await page.getByRole('link', { name: 'Keep it' }).click();
		is(await calendar.locator('li.account').count(), 2, 'who keeps it has it');
		await page.getByRole('link', { name: 'Disconnect Acme Calendar, Work <b>&"' }).click();
		await page.getByRole('button', { name: /^Disconnect/ }).click();
		like(await noticeOf(page), /is disconnected from Acme Calendar/, 'an account is disconnected');
		await other.bringToFront();
		await other.evaluate(() => dispatchEvent(new Event('focus')));
		await until('the other tab has seen it', async () => await card(other, 'Acme Calendar').locator('li.account').count() === 1);
		tell(true, 'which another tab shows without a reload');
		await until('it is revoked there', async () => !(await (await fetch(`${provider}/__ctl/grants`)).json()).some((g) => g.account === 'alice-at-work'));
		tell(true, 'and the provider has been told');
		await other.close();
	},

	// What a page says of each state
	async states() {
		const context = await personOf('alice');
		const page = await at(context);
		const calendar = card(page, 'Acme Calendar');
		const update = (set) => sql.query(`UPDATE appuser_connectors.connections SET ${set} WHERE app_user = 'alice' AND connector_id = 'calendar'`);

		await sql.query(`SELECT appuser_connectors.update_connector('calendar', scopes => '{openid,email,read,write}')`);
		await page.reload();
		like(await calendar.textContent(), /New permissions are needed.*write/, 'what a person has not granted yet is named');
		is(await button(page, 'Connect again Acme Calendar').count(), 1, 'and can be granted');
		await look(page, 'connections-missing');
		await sql.query(`SELECT appuser_connectors.update_connector('calendar', scopes => '{openid,email,read}')`);

		await update(`failures = 2, failing_since = now()`);
		await page.reload();
		is(await badgeOf(page, 'Acme Calendar'), 'In trouble', 'that it is tried again');
		like(await calendar.textContent(), /tried again by itself; you need not do anything/, 'is said, and that nothing is to be done');
		is(await button(page, 'Connect again Acme Calendar').count(), 0, 'so nobody is asked to connect again');
		await look(page, 'connections-failing');
		await update(`failures = 0, failing_since = NULL, reconnect_by = now() + interval '3 days'`);
		await page.reload();
		like(await calendar.textContent(), /Connect again by/, 'an end that is near is told');
		is(await button(page, 'Connect again Acme Calendar').count(), 1, 'in time');

		// the client is refused, as several people's refreshes have shown
		await update('reconnect_by = NULL');
		await sql.query(`UPDATE appuser_connectors.registered_connectors SET stopped_at = now(), stopped_reason = 'invalid_client' WHERE connector_id = 'calendar'`);
		await page.reload();
		is(await badgeOf(page, 'Acme Calendar'), 'Out of order', 'what only an admin can mend says so');
		is(await calendar.getByRole('button').count(), 0, 'and offers nothing that cannot work');
		await look(page, 'connections-stopped');
		const admin = await at(await personOf('root'), '/admin/connectors/calendar');
		like(await noticeOf(admin), /It is stopped: invalid_client/, 'the admin is told why');
		await look(admin, 'admin-connector-stopped');
		await admin.getByLabel('Client secret').fill(SECRET);
		await button(admin, 'Save client').click();
		like(await noticeOf(admin), /The client is changed/, 'and mends it');
		is(await admin.locator('.notice.bad').count(), 0, 'whereupon it works again');
	},

	async others() {
		const bob = await personOf('bob');
		const alice = await personOf('alice');
		const page = await at(bob);
		is(await badgeOf(page, 'Acme Calendar'), 'Not connected', 'another person sees nothing of it');
		is(/alice/.test(await page.content()), false, 'not a word');
		const mine = await (await bob.request.get(`${origin}/connections/status`)).json();
		is(mine.connectors.flatMap((c) => c.connections).length, 0, 'nor by the route for scripts');

		// a callback of alice's in bob's browser
		const hers = await at(alice);
		await button(hers, 'Connect Acme Notes').click();
		await signIn(hers, 'alice');
		await hers.getByRole('heading', { name: 'Allow access?' }).waitFor();
		// as the browser would send it, but for the last step
		let callback = new URL(await hers.locator('form').getAttribute('action'), hers.url()).href;
		for (let form = { action: 'allow', scope: 'openid' }; !callback.startsWith(origin); form = null) {
			const answer = await alice.request.fetch(callback, { maxRedirects: 0, ...(form ? { method: 'POST', form } : {}) });
			callback = new URL(answer.headers().location, callback).href;
		}
		const stolen = await bob.newPage();
		const answer = await stolen.goto(callback);
		is(answer.status(), 400, 'a callback that was begun in another person\'s browser is refused');
		await page.reload();
		is(await badgeOf(page, 'Acme Notes'), 'Not connected', 'and connects nobody');
		const nobody = await (await personOf(null)).newPage();
		is((await nobody.goto(callback)).status(), 400, 'nor does it in a browser that nobody is signed in to');
		await hers.goto(callback);
		await back(hers);
		is(await badgeOf(hers, 'Acme Notes'), 'Connected', 'in her own it does');

		// a link that would have a page say what is not so
		for (const link of ['/connections?connector=notes&connection=CALL+0900&disconnected=1', '/connections?connector=notes&connection=CALL+0900&connected=1', '/connections?connector=notes&failure=CALL+0900',
			'/connections/done?connector=CALL+0900&connection=CALL+0900&failure=CALL+0900', '/connections/disconnect?connector=notes&connection=CALL+0900']) {
			await hers.goto(origin + link);
			is(/CALL 0900/.test(await hers.innerText('body')), false, `a link puts no words of its own into a page: ${link}`);
		}

		// a form of another site
		for (const [where, form] of [['connect', { connector: 'notes', connection: 'evil' }], ['disconnect', { connector: 'notes', connection: 'default' }]])
			is((await alice.request.post(`${origin}/connections/${where}`, { form, headers: { origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' } })).status(), 403, `another site's form to ${where} does nothing`);
		is((await alice.request.post(`${origin}/connections/connect`, { form: { connector: 'notes', return_to: 'https://evil.example/' }, headers: { origin, 'sec-fetch-site': 'same-origin' } })).status(), 400, 'and nobody can be sent elsewhere');
	},

	async tabs() {
		const context = await personOf('bob');
		const [one, two] = [await at(context), await at(context)];
		await button(one, 'Connect Acme Calendar').click();
		await signIn(one, 'bob');
		await one.getByRole('heading', { name: 'Allow access?' }).waitFor();
		await button(two, 'Connect Acme Notes').click();
		await two.getByRole('heading', { name: 'Allow access?' }).waitFor();
		await button(two, 'Allow').click();
		await back(two);
		await button(one, 'Allow').click();
		await back(one);
		await two.reload();
		is(`${await badgeOf(two, 'Acme Calendar')}, ${await badgeOf(two, 'Acme Notes')}`, 'Connected, Connected', 'two tabs connect two things, whichever ends first');

		// by keyboard alone
		await one.goto(`${origin}/connections`);
		await one.keyboard.press('Tab');
		is(await one.evaluate(() => document.activeElement.textContent), 'Skip to the content', 'the keyboard comes to the content at once');
		await one.keyboard.press('Enter');
		for (let i = 0; i < 40 && !/^Disconnect/.test(await one.evaluate(() => document.activeElement.textContent)); i++) await one.keyboard.press('Tab');
		await one.keyboard.press('Enter');
		await one.waitForURL(/\/connections\/disconnect/);
		for (let i = 0; i < 20 && await one.evaluate(() => document.activeElement.tagName) !== 'BUTTON'; i++) await one.keyboard.press('Tab');
		await one.keyboard.press('Enter');
		await back(one);
		like(await noticeOf(one), /is disconnected from/, 'and disconnects');
	},

	async script() {
		const context = await personOf('root', { javaScriptEnabled: false });
		const page = await at(context);
		await connect(page, 'Acme Calendar', 'root');
		is(await badgeOf(page, 'Acme Calendar'), 'Connected', 'without JavaScript one connects');
		await page.getByRole('link', { name: 'Disconnect Acme Calendar' }).click();
		await page.getByRole('button', { name: /^Disconnect/ }).click();
		is(await badgeOf(page, 'Acme Calendar'), 'Not connected', 'and disconnects');
	},

	async component() {
		const context = await personOf('root');
		const page = await at(context, '/demo/component?connector=calendar');
		const element = page.locator('connect-account');
		const events = () => page.evaluate(() => [...document.querySelectorAll('#events li')].map((li) => { li.remove(); return li.textContent; }).join(', '));
		const told = () => until('it is told', async () => await page.locator('#events li').count() > 0);
		const state = (wanted) => until(`it is ${wanted}`, async () => await element.getAttribute('state') === wanted);
		const popup = async (act) => {
			const [window] = await Promise.all([context.waitForEvent('page'), button(page, 'Connect Acme Calendar').click()]);
			await act(window);
			await until('the window is closed', () => window.isClosed());
		};
		await state('not-connected');
		await look(page, 'component');
		await popup((window) => agree(window, 'root', { deny: true }));
		await told();
		is(await events(), 'denied calendar default access_denied', 'the component tells that somebody refused');
		await forgetProvider(context);
		await order({ faults: [{ path: '/token', status: 503, times: 1 }] });
		await popup((window) => agree(window, 'root'));
		await told();
		is(await events(), 'failed calendar default provider_unavailable', 'that it failed');
		await order({ faults: [] });
		await popup(async (window) => { await signIn(window, 'root'); await Promise.race([window.waitForEvent('close'), button(window, 'Allow').click().catch(() => {})]); });
		await state('connected');
		is(await events(), 'connected calendar default', 'that it is connected');
		await look(page, 'component-connected');
		await button(page, 'Disconnect Acme Calendar').click();
		await state('not-connected');
		is(await events(), 'disconnected calendar default', 'and that it is disconnected');

		await forgetProvider(context);
		await page.goto(`${origin}/demo/component?connector=calendar`);
		await state('not-connected');
		await page.evaluate(() => { window.open = () => null; });
		await button(page, 'Connect Acme Calendar').click();
		await agree(page, 'root', { deny: true });
		await back(page, '/demo/component');
		await told();
		is(await events(), 'denied calendar default access_denied', 'where no window may be opened the page is left, and come back to');
		await forgetProvider(context);
		await page.goto(`${origin}/demo/component?connector=calendar&mode=redirect`);
		await state('not-connected');
		await button(page, 'Connect Acme Calendar').click();
		await agree(page, 'root');
		await back(page, '/demo/component');
		await state('connected');
		is(await events(), 'connected calendar default', 'by a redirect, too');
		await button(page, 'Disconnect Acme Calendar').click();
		await state('not-connected');
		await events();
		await forgetProvider(context);
		await button(page, 'Connect Acme Calendar').click();
		await agree(page, 'root', { deny: true });
		await back(page, '/demo/component');
		await told();
		is(await events(), 'denied calendar default access_denied', 'which somebody may refuse');
	},

	// A page of another origin, by script, with the person's JWT
	async foreign() {
		const page = `<!DOCTYPE html><html lang="en"><title>Another origin</title><body><script type="module" src="${origin}/assets/connect-account.js"></script>
<connect-account connector="calendar" connection="elsewhere" gateway="${origin}" app="pages" mode="redirect"></connect-account>
<script>const element = document.querySelector('connect-account'); element.token = async () => '${jwt.bob}';
window.events = []; for (const name of ['connected', 'denied', 'failed', 'disconnected']) document.addEventListener(name, (e) => events.push(name + ' ' + e.detail.connection));</script></body></html>`;
		const server = http.createServer((_request, response) => response.setHeader('content-type', 'text/html').end(page));
		await new Promise((resolve) => { server.listen(given.foreign, '127.0.0.1', resolve); });
		try {
			const context = await personOf('bob');
			const tab = await context.newPage();
			const state = (wanted) => until(`it is ${wanted}`, async () => await tab.locator('connect-account').getAttribute('state') === wanted);
			await sql.query(`SELECT appuser_connectors.update_connector('calendar', options => $1)`, [{ return_to: [`http://127.0.0.1:${given.foreign}/page`] }]);
			await tab.goto(`http://127.0.0.1:${given.foreign}/page`);
			await state('not-connected');
			await button(tab, 'Connect Acme Calendar').click();
			await agree(tab, 'bob');
			await tab.waitForURL((url) => url.port === String(given.foreign));
			await state('connected');
			is((await tab.evaluate(() => window.events)).join(), 'connected elsewhere', 'a page of another origin that is allowed has the component, too');
			await button(tab, 'Disconnect Acme Calendar').click();
			await state('not-connected');
			is((await tab.evaluate(() => window.events)).join(), 'connected elsewhere,disconnected elsewhere', 'both ways');
			const stranger = await fetch(`${origin}/connections/status`, { headers: { authorization: `Bearer ${jwt.bob}`, origin: 'https://evil.example' } });
			is(stranger.status, 403, 'one that is not allowed has not');
		} finally {
			server.closeAllConnections();
			server.close();
		}
	},

	async figures() {
		const context = await personOf('root');
		const page = await at(context, '/admin');
		for (let i = 0; i < 3; i++) {
			await sql.query(`SELECT FROM appuser_connectors.app_user_connection('bob', 'notes', min_validity => '2 hours')`).catch(() => {});
			await new Promise((resolve) => { setTimeout(resolve, 1_100); }); // a sample a second
			await page.goto(`${origin}/admin`);
		}
		is(await page.locator('.plot svg').count(), 3, 'an admin sees figures over time');
		await look(page, 'admin');
		is(await page.getByRole('row', { name: /^Acme Notes/ }).count(), 1, 'and each connector');
		await page.getByRole('link', { name: 'More events' }).click();
		await page.getByLabel('Show').selectOption('connect_failed');
		await button(page, 'Show').click();
		like(await page.textContent('main'), /access_denied/, 'and what failed');
		await look(page, 'admin-events');
		await page.goto(`${origin}/admin/connectors/notes`);
		await look(page, 'admin-connector');
		await page.getByRole('link', { name: 'Delete this connector' }).click();
		like(await page.textContent('main'), /2 people lose 2 connections/, 'before a connector is deleted it is said whom that hits');
		await look(page, 'admin-delete');
		const again = await at(await personOf('root'));
		await connect(again, 'Acme Notes', 'root');
		await page.getByRole('button', { name: /^Delete/ }).click();
		like(await noticeOf(page), /number has grown/, 'and said anew if it has become more');
		await page.getByRole('button', { name: /^Delete/ }).click();
		await page.waitForURL((url) => url.pathname === '/admin');
		like(await noticeOf(page), /deleted, with 3 connections/, 'it is deleted');
		const tokens = (await (await fetch(`${provider}/__ctl/issued`)).json());
		const all = [...tokens.access_tokens, ...tokens.refresh_tokens, SECRET, ...Object.values(jwt)];
		let leaked = 0;
		for (const where of ['/admin', '/admin/events', '/admin/connectors/calendar', '/admin/connectors/calendar/try', '/connections']) {
			await page.goto(origin + where);
			const content = await page.content();
			leaked += all.filter((secret) => content.includes(secret)).length;
		}
		is(leaked, 0, 'no page has a secret');
	},
};

// Begins a flow in a tab of its own, and stays: { url } of the provider's page
async function flowOf(page, name) {
	const tab = await page.context().newPage();
	await tab.goto(`${origin}/connections`);
	let url;
	await tab.route(`${provider}/**`, (route) => { url = route.request().url(); return route.fulfill({ status: 204 }); });
	await button(tab, `Connect ${name}`).click();
	await until('the flow has begun', () => url);
	await tab.close();
	return { url };
}

let status = 0;
const wanted = given.only ? given.only.split(',') : null;
for (const [name, scenario] of Object.entries(scenarios)) {
	if (wanted && !wanted.includes(name)) continue;
	const began = Date.now();
	try {
		await scenario();
	} catch (error) {
		const pages = contexts.flatMap((c) => c.pages());
		for (const [i, page] of pages.entries()) await page.screenshot({ path: path.join(pictures, `failed-${name}-${i}.png`) }).catch(() => {});
		tell(false, `${name} comes to its end`, `${error.stack}\nat ${pages.map((page) => page.url()).join(' ')}`);
		status = 1;
	}
	console.error(`${name}: ${Date.now() - began} ms`);
	await Promise.all(contexts.splice(0).map((context) => context.close()));
}
is(complaints.join('\n'), '', 'the browser complains of nothing');
await browser.close();
await sql.end();
process.exitCode = status;
