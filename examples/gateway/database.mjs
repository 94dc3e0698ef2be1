// database.mjs: the ways into PostgreSQL, one pool for each role.
//
//   const database = openDatabase(config, log);
//   await database.asAppUser(jwt, (query) => query('SELECT …', []))      role appuser_connectors_user
//   await database.asService((query) => …)                              role appuser_connectors_service, nobody's
//   await database.asServiceFor(jwt, (query) => …)                      the same, for the person the JWT names
//   await database.asAdmin((query) => …)                                role appuser_connectors_admin
//
// Each is one transaction; query(text, values) resolves to the rows, and what the function returns is
// what the caller gets once it is committed.  A second argument is the app user.  Who the app user is only PostgreSQL decides: the JWT goes to
// authenticate_app_user() in that transaction, and ends with it.  Nothing here calls set_app_user().
//
// { read: true } says that the function may run twice: a connection that breaks under it, as in a
// failover, is followed by another one.  { patience } is for how many milliseconds that is tried.
//
//   const { appUser, rows } = await database.readAsService(jwt, 'SELECT …', [])
//
// is the same for one statement that reads, in one way to the server and back.
import fs from 'node:fs';
import pg from 'pg';
import { runBatch } from './batch.mjs';

const AUTHENTICATE = 'SELECT appuser_connectors.authenticate_app_user($1) AS app_user';

// The server is going, coming, or somewhere else now; a Node error is one of the socket.
const LOST = /^(08|57P0[1-5]|25006$|E(?!RR_)[A-Z])/;

const CONNECT_TIMEOUT = 5_000;
const QUERY_TIMEOUT = 60_000; // beyond the extension's wait_timeout, which answers before

export class DatabaseUnavailable extends Error {
	constructor(cause) {
		super('the database cannot be reached', { cause });
		this.code = '08006';
	}
}

export class PoolBusy extends Error {
	constructor() {
		super('no connection to the database became free in time');
		this.code = '53300';
	}
}

export function openDatabase(config, log) {
	const pools = {};
	for (const role of ['user', 'service', 'admin'])
		if (config.databases[role]) pools[role] = openPool(role, config, log);

	return {
		asAppUser: (jwt, work, options) => transaction(pools.user, jwt, work, options),
		asService: (work, options) => transaction(pools.service, null, work, options),
		asServiceFor: (jwt, work, options) => transaction(pools.service, jwt, work, options),
		readAsService: (jwt, text, values) => retry(pools.service, { read: true }, (client) => readOnce(client, jwt, text, values)),
		asAdmin: pools.admin && ((work, options) => transaction(pools.admin, null, work, options)),
		pools,
		close: () => Promise.all(Object.values(pools).map((pool) => pool.end())),
	};
}

// postgres://role@host1:5432,host2:5432/database: the hosts are tried in turn until one takes writes,
// as libpq does with target_session_attrs=read-write.
export function parseHosts(url) {
	const [, start, authority, rest] = /^(postgres(?:ql)?:\/\/)([^/?]*)(.*)$/s.exec(url) ?? [];
	if (start === undefined) throw new Error('a database is given as postgres://role@host:port/database');
	const at = authority.lastIndexOf('@') + 1;
	return authority.slice(at).split(',').map((host) => start + authority.slice(0, at) + host + rest);
}

function openPool(role, config, log) {
	const urls = parseHosts(config.databases[role]);
	let preferred = 0;

	class Client extends pg.Client {
		constructor(options) {
			const { host, port, ...others } = options;
			const at = preferred % urls.length;
			super({ ...others, connectionString: urls[at] });
			this.urlIndex = at;
			// A connection that breaks without a word of the server tells so by this event as well as to whoever waits for an answer, and
			// one that nobody listens to would end the process: the pool itself listens only to those that are idle.
			this.on('error', () => {});
		}
	}
	const pool = new pg.Pool({
		Client,
		max: config.poolSize,
		application_name: 'appuser_connectors gateway',
		connectionTimeoutMillis: CONNECT_TIMEOUT,
		query_timeout: QUERY_TIMEOUT,
		idleTimeoutMillis: 60_000,
		maxLifetimeSeconds: 1800,
		keepAlive: true,
		...(config.databaseCaFile && { ssl: { ca: fs.readFileSync(config.databaseCaFile, 'utf8') } }),
		// only a server that takes writes: on a standby no flow can begin and no worker refreshes
		verify(client, done) {
			client.query('SHOW transaction_read_only').then(({ rows }) => {
				if (rows[0].transaction_read_only === 'off') return done();
				const error = new Error('this server takes no writes');
				error.code = '25006';
				return done(error);
			}, done);
		},
	});
	// an idle connection that breaks has left the pool already
	pool.on('error', (error) => log.warn({ pool: role, err: error }, 'a connection was lost'));
	pool.hosts = urls.length;
	pool.patience = config.failoverSeconds * 1000;
	pool.next = () => { preferred = (preferred + 1) % urls.length; };
	return pool;
}

function isLost(error) {
	return LOST.test(error.code ?? '') || /Connection terminated|Query read timeout|not queryable|Client was closed/.test(error.message);
}

// Runs work(client) on a connection of the pool, and on another one where that is lost.
async function retry(pool, { read = false, patience = pool.patience }, work) {
	const end = Date.now() + patience;
	for (let tries = 1, wait = 50; ; tries++) {
		try {
			const client = await pool.connect();
			let broken = true;
			try {
				const value = await work(client);
				broken = false;
				return value;
			} catch (error) {
				broken = isLost(error) || error.unclear === true;
				throw error;
			} finally {
				client.release(broken);
			}
		} catch (error) {
			if (/timeout exceeded when trying to connect/.test(error.message)) throw new PoolBusy();
			if (!isLost(error)) throw error;
			// before it began nothing has happened; after that only a read may be repeated
			if (error.begun && !read) throw new DatabaseUnavailable(error);
			pool.next();
			if (tries < pool.hosts) continue; // each of them once, however little time there is
			if (Date.now() + wait > end || pool.ending) throw new DatabaseUnavailable(error);
		}
		await new Promise((resolve) => { setTimeout(resolve, wait); });
		wait = Math.min(wait * 2, 1000);
	}
}

async function readOnce(client, jwt, text, values) {
	const [[{ app_user: appUser }], rows] = await runBatch(client, [{ text: AUTHENTICATE, values: [jwt] }, { text, values }]);
	return { appUser, rows };
}

function transaction(pool, jwt, work, options = {}) {
	return retry(pool, options, (client) => attempt(client, jwt, work));
}

async function attempt(client, jwt, work) {
	let ended = false;
	let begun = false;
	let last = Promise.resolve();
	// one after the other, whoever asks at once; and a straggler must not run in the next one's transaction
	const query = (text, values) => {
		const answer = last.then(async () => {
			if (ended) throw new Error('the transaction has ended');
			return (await client.query(text, values)).rows;
		});
		last = answer.catch(() => {});
		return answer;
	};

	try {
		await query('BEGIN'); // shows that the connection lives before anything is done
		begun = true;
		const appUser = jwt === null ? null : (await query(AUTHENTICATE, [jwt]))[0].app_user;
		const value = await work(query, appUser);
		ended = true;
		await client.query('COMMIT');
		return value;
	} catch (error) {
		ended = true;
		if (isLost(error)) error.begun = begun;
		else await client.query('ROLLBACK').catch(() => { error.unclear = true; });
		throw error;
	}
}
