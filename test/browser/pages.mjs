// pages.mjs: goes through the gateway's pages as people do, for 106_pages.pl.
//
//   node pages.mjs '{"origin", "foreign", "provider", "jwt": {NAME: JWT}, "pictures", "host", "port"}'
//
// Prints a line of JSON for each thing that was looked at: {"ok", "name", "why"}.  Writes a picture of each page, light, dark and
// as wide as a phone, into the directory `pictures`.  "foreign" is a free port for a page of another origin.  "only": the names of scenarios, separated by commas.
import path from 'node:path';
import { admin, figures } from './pages/admin.mjs';
import { component, foreign } from './pages/component.mjs';
import { browser, complaints, contexts, given, is, pictures, sql, tell } from './pages/kit.mjs';
import { nobody, others, person, script, states, tabs } from './pages/people.mjs';

// In this order: one finds what the one before has left.
const scenarios = [nobody, admin, person, states, others, tabs, script, component, foreign, figures];

let status = 0;
const wanted = given.only ? given.only.split(',') : null;
for (const scenario of scenarios) {
	const { name } = scenario;
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
