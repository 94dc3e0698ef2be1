// component-demo.js: shows each event of <connect-account>.
for (const name of ['connected', 'denied', 'failed', 'disconnected'])
	document.addEventListener(name, ({ detail }) => {
		document.getElementById('events').append(Object.assign(document.createElement('li'), {
			textContent: [name, detail.connector, detail.connection, detail.failure].filter(Boolean).join(' '),
		}));
	});
