// security.mjs: what every answer says to the browser, and which requests of browsers are refused.

const CSP = [
	"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'", "font-src 'self'",
	"form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
].join('; ');

const PERMISSIONS = ['accelerometer', 'camera', 'geolocation', 'gyroscope', 'magnetometer', 'microphone', 'payment', 'usb']
	.map((name) => `${name}=()`).join(', ');

// What the SDK sends from a browser
const CORS_HEADERS = 'authorization, content-type, x-app-id, x-origin-url, x-base44-anonymous-id, base44-state, x-data-env';

const SAFE = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE']);

export function secure(request, reply, config) {
	reply.headers({
		'content-security-policy': CSP,
		'cross-origin-embedder-policy': 'require-corp',
		'cross-origin-opener-policy': 'same-origin',
		'cross-origin-resource-policy': 'same-origin',
		'permissions-policy': PERMISSIONS,
		'referrer-policy': 'same-origin',
		'x-content-type-options': 'nosniff',
		'x-frame-options': 'DENY',
		'cache-control': 'no-store',
		'x-request-id': request.id,
	});
	if (config.secure) reply.header('strict-transport-security', 'max-age=31536000');
}

// Whether a request that changes something comes from a page of this origin.  A browser says so itself
// (Sec-Fetch-Site); older ones send Origin.  What says nothing is no browser's form.
export function isOwnPage(request, config) {
	if (SAFE.has(request.method)) return true;
	const { origin, 'sec-fetch-site': site } = request.headers;
	if (site !== undefined && site !== 'same-origin') return false;
	if (origin === undefined || origin === 'null') return site === 'same-origin';
	return origin === config.origin;
}

// For routes that pages of other, configured origins may call by script.  No cookie goes with
// such a call: who asks is in its Authorization header.
export function allowOrigin(request, reply, config) {
	const { origin } = request.headers;
	reply.header('vary', 'Origin');
	if (origin === undefined || origin === config.origin) return true;
	if (!config.allowedOrigins.includes(origin)) return false;
	reply.headers({
		'access-control-allow-origin': origin,
		'access-control-expose-headers': 'x-request-id, retry-after',
		'cross-origin-resource-policy': 'cross-origin',
	});
	return true;
}

export function answerPreflight(request, reply, config, methods) {
	if (allowOrigin(request, reply, config) && reply.hasHeader('access-control-allow-origin'))
		reply.headers({
			'access-control-allow-methods': methods.join(', '),
			'access-control-allow-headers': CORS_HEADERS,
			'access-control-max-age': '600',
		});
	return reply.code(204).send();
}
