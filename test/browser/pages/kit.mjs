// kit.mjs: what the scenarios share: a browser, people in it, a look at a page, the way through the provider's pages.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import pg from 'pg';
import { chromium } from 'playwright-core';

export const given = JSON.parse(process.argv[2]);
export const { origin, provider, jwt, pictures } = given;
const axeSource = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const SECRET = 'app secret: 100%+/&=';
fs.rmSync(pictures, { recursive: true, force: true });
fs.mkdirSync(pictures, { recursive: true });

export const tell = (ok, name, why) => console.log(JSON.stringify({ ok: Boolean(ok), name, ...(!ok && why !== undefined && { why: String(why) }) }));
export const is = (got, wanted, name) => tell(got === wanted, name, `got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`);
export const like = (got, wanted, name) => tell(wanted.test(got), name, `got ${JSON.stringify(got)}`);

export const sql = new pg.Client({ host: given.host, port: given.port, user: 'postgres', database: 'postgres' });
await sql.connect();
export const order = (what) => fetch(`${provider}/__ctl`, { method: 'POST', body: JSON.stringify(what) });
export async function until(what, done, limit = 30_000) {
	for (const end = Date.now() + limit; !(await done());) {
		if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
		await new Promise((resolve) => { setTimeout(resolve, 50); });
	}
}

export const browser = await chromium.launch({
	executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
	args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update',
		'--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
});

// ------------------------------------------------------------------ people

export const complaints = []; // of the browser: a policy that was broken, a script that failed
export const contexts = [];

// A browser of one person's, signed in to the application
export async function personOf(name, options = {}) {
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

export async function at(context, where = '/connections') {
	const page = await context.newPage();
	await page.goto(origin + where);
	return page;
}

// axe and pictures of a page as it is: light, dark, phone
export async function look(page, name) {
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

export const card = (page, name) => page.locator('section.card', { has: page.getByRole('heading', { level: 2, name, exact: true }) });
export const badgeOf = (page, name) => card(page, name).locator('.badge').first().textContent();
export const noticeOf = (page) => page.locator('.notice').first().textContent();
export const button = (page, name) => page.getByRole('button', { name, exact: true });

// At the provider, whose page this is: who signs in, and what they say
export async function signIn(page, account) {
	await page.waitForURL((url) => url.origin === provider);
	if (await page.getByLabel('Account').count() > 0) {
		await page.getByLabel('Account').fill(account);
		await page.getByLabel('Password').fill('any');
		await button(page, 'Sign in').click();
	}
}
export async function agree(page, account, { deny = false, without = [] } = {}) {
	await signIn(page, account);
	await page.getByRole('heading', { name: 'Allow access?' }).waitFor();
	for (const scope of without) await page.getByRole('checkbox', { name: scope }).uncheck();
	await button(page, deny ? 'Deny' : 'Allow').click();
}
export const forgetProvider = (context) => context.clearCookies({ domain: '127.0.0.1' });
export const back = (page, where = '/connections') => page.waitForURL((url) => url.origin === origin && url.pathname === where);
export async function connect(page, name, account, options) {
	await button(page, `Connect ${name}`).click();
	await agree(page, account, options);
	await back(page);
}

export async function register(id, name, options = {}) {
	await sql.query(`SELECT appuser_connectors.register_connector($7, client_id => $1, client_secret => $2, scopes => $3, redirect_uris => $4, connector_id => $5, name => $6)`,
		[options.client ?? 'app', options.secret ?? SECRET, options.scopes ?? ['openid', 'email', 'read'], [`${origin}/api/external-auth/callback`], id, name, options.provider ?? 'acme']);
}

// Begins a flow in a tab of its own, and stays: { url } of the provider's page
export async function flowOf(page, name) {
	const tab = await page.context().newPage();
	await tab.goto(`${origin}/connections`);
	let url;
	await tab.route(`${provider}/**`, (route) => { url = route.request().url(); return route.fulfill({ status: 204 }); });
	await button(tab, `Connect ${name}`).click();
	await until('the flow has begun', () => url);
	await tab.close();
	return { url };
}
