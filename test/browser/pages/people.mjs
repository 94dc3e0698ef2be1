// people.mjs: a person and their connections; nobody, somebody else, two tabs, no JavaScript.
import {
	SECRET, agree, at, back, badgeOf, button, card, connect, flowOf, forgetProvider, is, like, look, noticeOf, order, origin, personOf, provider, register, signIn, sql, tell, until,
} from './kit.mjs';

export async function nobody() {
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
}

export async function person() {
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
	const newest = async () => (await sql.query(`SELECT expires_at - created_at < '2 s' AS is_short, expires_at < now() AS is_over
		FROM appuser_connectors.authorizations WHERE app_user = 'alice' ORDER BY created_at DESC LIMIT 1`)).rows[0];
	await sql.query('ALTER SYSTEM SET appuser_connectors.authorization_lifetime = 1');
	await sql.query('SELECT pg_reload_conf()');
	let old;
	await until('flows are short', async () => { old = await flowOf(page, 'Acme Notes'); return (await newest())?.is_short; });
	await until('it is over', async () => (await newest())?.is_over ?? true);
	const late = await at(context, `/api/external-auth/callback?${new URLSearchParams({ state: new URL(old.url).searchParams.get('state'), code: 'x', iss: provider })}`);
	like(await late.textContent('main'), /begin again|old/i, 'a flow that took too long says to begin again');
	await look(late, 'expired');
	await late.close();
	await sql.query('ALTER SYSTEM RESET appuser_connectors.authorization_lifetime');
	await sql.query('SELECT pg_reload_conf()');
	// in force for whoever begins next
	await until('flows are long again', async () => { await flowOf(page, 'Acme Notes'); return (await newest())?.is_short === false; });

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
}

// What a page says of each state
export async function states() {
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
}

export async function others() {
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
}

export async function tabs() {
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
}

export async function script() {
	const context = await personOf('root', { javaScriptEnabled: false });
	const page = await at(context);
	await connect(page, 'Acme Calendar', 'root');
	is(await badgeOf(page, 'Acme Calendar'), 'Connected', 'without JavaScript one connects');
	await page.getByRole('link', { name: 'Disconnect Acme Calendar' }).click();
	await page.getByRole('button', { name: /^Disconnect/ }).click();
	is(await badgeOf(page, 'Acme Calendar'), 'Not connected', 'and disconnects');
}
