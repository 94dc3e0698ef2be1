// refresh.mjs: how many refreshes a second the test provider answers.
//
//   node refresh.mjs --issuer URL --ca FILE --clients N --seconds N [--keep-alive]
//
// Takes the live refresh tokens of the connections that bench/run made, one a client,
// and renews each again and again, over a connection each time or one kept alive; prints
// the rate.  They are spent then: nothing that is stored works afterwards.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { parseArgs } from 'node:util';

const { values: option } = parseArgs({
	options: { issuer: { type: 'string' }, ca: { type: 'string' }, clients: { type: 'string' }, seconds: { type: 'string' }, 'keep-alive': { type: 'boolean', default: false } },
});
const protocol = option.issuer.startsWith('https:') ? https : http;
const agent = new protocol.Agent({ keepAlive: option['keep-alive'], ca: fs.readFileSync(option.ca) });
const authorization = `Basic ${Buffer.from([ 'app', 'app secret: 100%+/&=' ].map(encodeURIComponent).join(':')).toString('base64')}`;

function ask(path, form) {
	const body = form && new URLSearchParams(form).toString();
	return new Promise((resolve, reject) => {
		const request = protocol.request(option.issuer + path, {
			agent,
			method: form ? 'POST' : 'GET',
			headers: form ? { authorization, 'content-type': 'application/x-www-form-urlencoded', 'content-length': body.length } : {},
		}, (response) => {
			const parts = [];
			response.on('data', (part) => parts.push(part));
			response.on('end', () => {
				const text = Buffer.concat(parts).toString();
				if (response.statusCode === 200) resolve(JSON.parse(text));
				else reject(new Error(`${path}: ${response.statusCode} ${text}`));
			});
		});
		request.on('error', reject);
		request.end(body);
	});
}

const grants = (await ask('/__ctl/grants')).filter((grant) => grant.account.startsWith('login-'));
const start = Date.now();
const end = start + Number(option.seconds) * 1000;
let count = 0;

await Promise.all(grants.slice(0, Number(option.clients)).map(async (grant) => {
	let [token] = grant.refresh_tokens;
	while (Date.now() < end) {
		const answer = await ask('/token', { grant_type: 'refresh_token', refresh_token: token });
		token = answer.refresh_token ?? token;
		count++;
	}
}));
console.log((count * 1000 / (Date.now() - start)).toFixed(1));
agent.destroy();
