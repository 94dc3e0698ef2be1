// component.mjs: <connect-account> in a page of the gateway's origin, and in one of another.
import http from 'node:http';
import { agree, at, back, button, forgetProvider, given, is, jwt, look, order, origin, personOf, signIn, sql, until } from './kit.mjs';

export async function component() {
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
}

// A page of another origin, by script, with the person's JWT
export async function foreign() {
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
}
