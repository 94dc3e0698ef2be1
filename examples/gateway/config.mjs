// config.mjs: what the gateway is told by its environment, read once and checked at the start.
//
// Every variable is named GATEWAY_…; README.md has the table.  A secret may be in a file: NAME_FILE
// instead of NAME.  Whatever is wrong is said at once and together, without repeating a value.
import fs from 'node:fs';

const HOST_COOKIE = '__Host-';

// A cookie's name or a header's (RFC 6265 §4.1.1, RFC 9110 §5.6.2)
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

export function readConfig(env = process.env) {
	const problems = [];
	const known = new Set();

	function text(name, fallback) {
		known.add(name);
		return env[name] === undefined || env[name] === '' ? fallback : env[name];
	}

	function secret(name) {
		const file = text(`${name}_FILE`);
		const given = text(name);
		if (file === undefined) return given;
		if (given !== undefined) problems.push(`${name} and ${name}_FILE are both set`);
		try {
			return fs.readFileSync(file, 'utf8').replace(/\r?\n$/, '');
		} catch (error) {
			problems.push(`${name}_FILE cannot be read: ${error.code}`);
			return undefined;
		}
	}

	function number(name, fallback, least, most) {
		const value = Number(text(name, fallback));
		if (Number.isInteger(value) && value >= least && value <= most) return value;
		problems.push(`${name} must be a whole number from ${least} to ${most}`);
		return fallback;
	}

	function yes(name) {
		const value = text(name, '0');
		if (value !== '0' && value !== '1') problems.push(`${name} must be 0 or 1`);
		return value === '1';
	}

	function list(name) {
		return text(name, '').split(/[\s,]+/).filter(Boolean);
	}

	function choice(name, fallback, choices) {
		const value = text(name, fallback);
		if (!choices.includes(value)) problems.push(`${name} must be one of: ${choices.join(', ')}`);
		return value;
	}

	function origin(name, value) {
		if (value === undefined) {
			problems.push(`${name} must be set: where browsers reach the gateway, such as https://app.example`);
			return undefined;
		}
		try {
			const url = new URL(value);
			if (url.origin === value && /^https?:$/.test(url.protocol)) return value;
		} catch { /* said below */ }
		problems.push(`${name} must be an origin, such as https://app.example`);
		return undefined;
	}

	const config = {
		host: text('GATEWAY_HOST', '127.0.0.1'),
		port: number('GATEWAY_PORT', 8080, 0, 65535),
		tls: { certificate: text('GATEWAY_TLS_CERTIFICATE_FILE'), key: text('GATEWAY_TLS_KEY_FILE') },
		trustProxy: list('GATEWAY_TRUSTED_PROXIES'),
		origin: origin('GATEWAY_ORIGIN', text('GATEWAY_ORIGIN')),
		allowedOrigins: list('GATEWAY_ALLOWED_ORIGINS').map((value) => origin('GATEWAY_ALLOWED_ORIGINS', value)),
		appId: text('GATEWAY_APP_ID'),
		serviceSecret: secret('GATEWAY_SERVICE_SECRET'),
		metricsToken: secret('GATEWAY_METRICS_TOKEN'),
		metricsPort: text('GATEWAY_METRICS_PORT') === undefined ? undefined : number('GATEWAY_METRICS_PORT', 0, 0, 65535),
		databases: {
			user: secret('GATEWAY_USER_DATABASE'),
			service: secret('GATEWAY_SERVICE_DATABASE'),
			admin: secret('GATEWAY_ADMIN_DATABASE'),
		},
		databaseCaFile: text('GATEWAY_DATABASE_CA_FILE'),
		poolSize: number('GATEWAY_POOL_SIZE', 10, 1, 1000),
		failoverSeconds: number('GATEWAY_FAILOVER_SECONDS', 15, 0, 600),
		visitorCookie: text('GATEWAY_VISITOR_COOKIE', `${HOST_COOKIE}visitor`),
		visitorHeader: text('GATEWAY_VISITOR_HEADER')?.toLowerCase(),
		admins: list('GATEWAY_ADMINS'),
		binding: choice('GATEWAY_BINDING', 'auto', ['auto', 'cookie', 'visitor']),
		home: text('GATEWAY_HOME', '/'),
		requestsPerMinute: number('GATEWAY_REQUESTS_PER_MINUTE', 600, 1, 1_000_000),
		flowsPerMinute: number('GATEWAY_FLOWS_PER_MINUTE', 30, 1, 1_000_000),
		stopSeconds: number('GATEWAY_STOP_SECONDS', 30, 1, 3600),
		logLevel: choice('GATEWAY_LOG_LEVEL', 'info', ['debug', 'info', 'warn', 'error', 'silent']),
		demo: yes('GATEWAY_DEMO'),
	};

	for (const name of ['user', 'service'])
		if (config.databases[name] === undefined) problems.push(`GATEWAY_${name.toUpperCase()}_DATABASE must be set: postgres://role@host:port/database, as a member of appuser_connectors_${name}`);
	for (const [name, url] of Object.entries(config.databases))
		if (url !== undefined && !/^postgres(ql)?:\/\/[^/?]+\/./.test(url)) problems.push(`GATEWAY_${name.toUpperCase()}_DATABASE must be postgres://role@host:port/database`);
	if (!config.appId) problems.push('GATEWAY_APP_ID must be set: the appId that the SDK is given');
	if ((config.serviceSecret ?? '').length < 32) problems.push('GATEWAY_SERVICE_SECRET must be set and have at least 32 characters: openssl rand -hex 32');
	for (const name of ['serviceSecret', 'metricsToken'])
		if (config[name] !== undefined && !/^[\x21-\x7e]+$/.test(config[name])) problems.push(`GATEWAY_${name === 'metricsToken' ? 'METRICS_TOKEN' : 'SERVICE_SECRET'} must be of ASCII letters, digits and signs, without blanks`);
	if (config.metricsToken !== undefined && config.metricsToken.length < 16) problems.push('GATEWAY_METRICS_TOKEN must have at least 16 characters');
	if (!config.tls.certificate !== !config.tls.key) problems.push('GATEWAY_TLS_CERTIFICATE_FILE and GATEWAY_TLS_KEY_FILE belong together');
	if (!TOKEN.test(config.visitorCookie)) problems.push('GATEWAY_VISITOR_COOKIE must be a name of a cookie');
	if (config.visitorHeader !== undefined && !TOKEN.test(config.visitorHeader)) problems.push('GATEWAY_VISITOR_HEADER must be a name of a header');
	if (!/^\/(?![/\\])/.test(config.home)) problems.push('GATEWAY_HOME must be a path of the gateway');
	if (config.demo && !config.databases.admin) problems.push('GATEWAY_DEMO needs GATEWAY_ADMIN_DATABASE: it registers the issuer of its logins');
	if (config.demo && config.origin !== undefined && !/^(localhost|127\.0\.0\.1|\[::1\])$/.test(new URL(config.origin).hostname))
		problems.push('GATEWAY_DEMO lets anybody be anybody: it is for a GATEWAY_ORIGIN on this machine only');
	for (const name of Object.keys(env))
		if (name.startsWith('GATEWAY_') && !known.has(name)) problems.push(`${name} is not a setting of the gateway`);
	if (problems.length > 0) throw new Error(`the gateway is not configured:\n  ${problems.join('\n  ')}`);

	// Cookies are Secure; a browser takes such from plain http only where that is this machine.
	config.secure = config.origin.startsWith('https:');
	return config;
}
