// assets.mjs: the files that pages load: one stylesheet, scripts that no page needs to work, the component.  Read once, served
// with a validator.
import { createHash } from 'node:crypto';
import fs from 'node:fs';

const TYPES = { css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8' };
const FILES = {
	'style.css': 'assets/style.css', 'live.js': 'assets/live.js', 'done.js': 'assets/done.js', 'component-demo.js': 'assets/component-demo.js',
	'connect-account.js': 'connect-account.js',
};

export async function assets(app) {
	for (const [name, file] of Object.entries(FILES)) {
		const body = fs.readFileSync(new URL(file, import.meta.url));
		const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
		app.get(`/assets/${name}`, async (request, reply) => {
			reply.headers({ 'cache-control': 'public, max-age=300', etag });
			// pages of other origins may load the component
			if (name === 'connect-account.js') reply.headers({ 'cross-origin-resource-policy': 'cross-origin', 'access-control-allow-origin': '*' });
			if (request.headers['if-none-match'] === etag) return reply.code(304).send();
			return reply.type(TYPES[name.split('.').at(-1)]).send(body);
		});
	}
}
