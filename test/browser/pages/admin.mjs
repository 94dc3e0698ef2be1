// admin.mjs: an admin sets a connector up, is told what is wrong with it, and sees how things are.
import {
	SECRET, agree, at, back, button, connect, forgetProvider, is, jwt, like, look, noticeOf, order, origin, personOf, provider, sql, until,
} from './kit.mjs';

export async function admin() {
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
}

export async function figures() {
	const context = await personOf('root');
	const page = await at(context, '/admin');
	await sql.query(`SELECT FROM appuser_connectors.app_user_connection('bob', 'notes', min_validity => '2 hours')`);
	await until('figures have come together', async () => { await page.goto(`${origin}/admin`); return await page.locator('.plot svg').count() > 0; });
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
}
