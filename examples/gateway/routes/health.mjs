// health.mjs: /healthz for whoever starts and stops the gateway.  (/metrics comes beside it.)

export async function health(app, { database }) {
	// that the process lives; ?database: that it can work as well
	app.get('/healthz', async (request, reply) => {
		if (request.query.database === undefined) return { status: 'ok' };
		try {
			await database.asService((query) => query('SELECT 1'), { read: true });
			return { status: 'ok', database: 'ok' };
		} catch (error) {
			request.log.warn({ err: error }, 'the database cannot be reached');
			return reply.code(503).send({ status: 'unavailable', database: 'unavailable' });
		}
	});
}
