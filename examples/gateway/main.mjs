// main.mjs: starts the gateway, and stops it in order.
//
//   node main.mjs [--until-stdin-ends]
//
// SIGTERM or SIGINT: no new connections, requests under way are finished, the pools are closed.  With
// --until-stdin-ends the same when the standard input ends: for tests and demonstrations.
import { buildApp } from './app.mjs';
import { readConfig } from './config.mjs';

let config;
try {
	config = readConfig();
} catch (error) {
	console.error(error.message);
	process.exit(2);
}
let app;
try {
	({ app } = await buildApp(config));
} catch (error) {
	console.error(`the gateway cannot start: ${[error.message, error.detail, error.hint].filter(Boolean).join('\n  ')}`);
	process.exit(1);
}

let stopping = false;
function stop(why) {
	if (stopping) return;
	stopping = true;
	app.log.info({ why }, 'stopping');
	setTimeout(() => {
		app.log.error('not everything ended in time');
		process.exit(1);
	}, config.stopSeconds * 1000).unref();
	app.close().then(() => {
		app.log.info('stopped');
		process.exit(0);
	}, (err) => {
		app.log.error({ err }, 'not everything could be closed');
		process.exit(1);
	});
}
process.on('SIGTERM', () => stop('SIGTERM'));
process.on('SIGINT', () => stop('SIGINT'));
if (process.argv.includes('--until-stdin-ends')) process.stdin.resume().on('end', () => stop('the standard input ended'));

try {
	await app.listen({ host: config.host, port: config.port, listenTextResolver: () => 'listening' });
	const { address, port } = app.server.address();
	app.log.info({ address, port, origin: config.origin }, 'ready');
} catch (error) {
	console.error(`cannot listen on ${config.host}:${config.port}: ${error.code}`);
	process.exit(1);
}
