// batch.mjs: several statements as one message to PostgreSQL, for node-postgres.
//
//   const [who, rows] = await runBatch(client, [{ text, values }, { text, values }]);
//
// Of the extended protocol: Parse, Bind, Describe and Execute of each, and one Sync.  All until the Sync is one transaction, the
// statements run in their order, and after one that fails the server skips what is left.  That is one way to the server and back, where
// BEGIN, two statements and COMMIT are four.
import pg from 'pg';

class Batch {
	constructor(statements, callback) {
		this.statements = statements;
		this.callback = callback; // the client puts its timeout around it
		this.results = [];
		this.result = new pg.Result();
	}

	submit(connection) {
		connection.stream.cork();
		try {
			for (const { text, values } of this.statements) {
				connection.parse({ text });
				connection.bind({ values });
				connection.describe({ type: 'P', name: '' });
				connection.execute({ portal: '', rows: 0 });
			}
			connection.sync();
		} finally {
			connection.stream.uncork();
		}
		return null;
	}

	handleRowDescription(message) {
		this.result.addFields(message.fields);
	}

	handleDataRow(message) {
		this.result.addRow(this.result.parseRow(message.fields));
	}

	handleCommandComplete() {
		this.results.push(this.result.rows);
		this.result = new pg.Result();
	}

	// the Sync commits: not before its answer is anything done
	handleReadyForQuery() {
		this.callback(null, this.results);
	}

	handleError(error) {
		this.callback(error);
	}
}

// values: texts and nulls.  Resolves to the rows of each statement, once they are committed.
export function runBatch(client, statements) {
	if (!statements.every(({ values }) => values.every((value) => value === null || typeof value === 'string'))) throw new TypeError('a batch takes texts only');
	return new Promise((resolve, reject) => {
		client.query(new Batch(statements, (error, results) => (error ? reject(error) : resolve(results))));
	});
}
