// cookies.mjs: reading and writing cookies (RFC 6265).  Those of the gateway are HttpOnly, Secure,
// SameSite=Lax, for this host alone and every path of it: the prefix __Host- has the browser see to that.

// Not trim(), which takes away blanks that are none in a header: a browser lets any site beside this one set "<no-break space>__Host-…", which
// has the prefix for nobody but whoever reads it so.
const bare = (text) => text.replace(/^[ \t]+|[ \t]+$/g, '');

export function readCookies(request) {
	const cookies = new Map();
	for (const pair of (request.headers.cookie ?? '').split(';')) {
		const at = pair.indexOf('=');
		const name = bare(pair.slice(0, at));
		// of two of one name the first counts: browsers send the more specific one first
		if (at > 0 && !cookies.has(name)) cookies.set(name, bare(pair.slice(at + 1)));
	}
	return cookies;
}

export function setCookie(reply, name, value, seconds) {
	if (!/^[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*$/.test(value)) throw new Error('a cookie cannot have this value');
	const age = seconds === undefined ? '' : `; Max-Age=${seconds}`;
	const line = `${name}=${value}; Path=/; HttpOnly; Secure; SameSite=Lax${age}`;
	reply.header('set-cookie', line); // Fastify keeps those of before
}

export function dropCookie(reply, name) {
	setCookie(reply, name, '', 0);
}
