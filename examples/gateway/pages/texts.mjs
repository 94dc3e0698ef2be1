// texts.mjs: every text that a page shows, in one place, so that they can be translated.
//
// Texts are plain; markup is the pages'.  What is put in is a function's argument.  Words about PostgreSQL's own details
// (a connector's last failure, check_health()) are the database's, and are shown to admins as they are.

export const language = 'en';

const dates = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });
const clocks = new Intl.DateTimeFormat('en-GB', { timeStyle: 'short', timeZone: 'UTC' });
export const clock = (value) => `${clocks.format(new Date(value))} UTC`;
export const date = (value) => `${dates.format(new Date(value))} UTC`;
export const number = (value) => Number(value).toLocaleString('en-GB');

const people = (n) => (Number(n) === 1 ? '1 person' : `${number(n)} people`);
const connections = (n) => (Number(n) === 1 ? '1 connection' : `${number(n)} connections`);

export const texts = {
	skip: 'Skip to the content',
	site: 'Connected accounts',
	navigation: 'Pages',
	nav: { connections: 'Your connections', admin: 'Administration', overview: 'Overview', add: 'Add a connector', events: 'Events' },
	back: 'Back to the application',
	begin: 'Go to your connections',
	continue: 'Continue',
	request: (id) => `If you report this, give this number: ${id}`,
	problem: { title: 'That did not work' },
	// by the kind of problem; programs get the words of problems.mjs instead
	problems: {
		not_authenticated: 'Sign in again.',
		connection_not_found: 'You have not connected this account.',
		reconnect_required: 'The connection no longer works, or lacks a permission: connect again.',
		provider_unavailable: 'The provider does not answer. Try again in a minute.',
		connector_misconfigured: 'This connector is out of order. An administrator must look at it.',
		authorization_failed: 'Please begin again: this link is old, was used, or belongs to another browser or person.',
		connector_not_found: 'There is no such connector.',
		worker_not_running: 'This is not possible just now. Try again later.',
		key_unavailable: 'This is out of order. An administrator must look at it.',
		copy_held: 'This is out of order. An administrator must look at it.',
		too_many_connections: 'You have as many connections as are allowed: disconnect one first.',
		invalid_request: 'The request is not valid.',
		database_unavailable: 'The database cannot be reached. Try again in a moment.',
		not_found: 'There is nothing here.',
		app_not_found: 'There is no such application here.',
		method_not_allowed: 'This cannot be done here.',
		too_large: 'The request is too large.',
		unsupported_media_type: 'The request is of a kind that is not read here.',
		foreign_origin: 'This was not sent by a page of this site. Go there, and do it again.',
		not_an_admin: 'This is for administrators.',
		too_many_requests: 'That was too often. Try again in a moment.',
		busy: 'Too many requests wait for this connector. Try again in a moment.',
		internal_error: 'Something went wrong. It has been recorded.',
	},

	// How a callback ended, where it does not go on to another page
	done: { title: 'Connected', text: (connector) => `“${connector}” is connected. This page has done its work: you can close it.` },
	ended: { title: 'Not connected', text: (connector) => `“${connector}” was not connected. If you want to try again, begin anew in the application.` },
	refused: {
		title: 'Please begin again',
		text: 'This link is old, was used before, or belongs to another browser or another person. Nothing was connected by it. Open the application in this browser, sign in, and choose “Connect” again.',
	},
	signIn: { title: 'Please sign in', text: 'Sign in to the application in this browser, and then come back to this page.', demo: 'Sign in to the demonstration' },
	nothing: { title: 'Nothing to do here', text: 'This page is where other services send you back to. It was opened without what they send along.' },
	prefetch: { title: 'Not yet', text: 'This page does something only when you go to it yourself.' },

	status: {
		not_connected: 'Not connected', connected: 'Connected', failing: 'In trouble',
		reconnect_required: 'Ended', connector_stopped: 'Out of order',
	},

	componentDemo: {
		title: 'A page with a component', text: 'This stands for a page of your own application:', events: 'What the element tells',
	},

	connections: {
		title: 'Your connections',
		lead: 'Accounts of yours elsewhere that this application may use. You can end each at any time.',
		empty: 'There is nothing to connect yet. An administrator sets up the first one.',
		emptyAdmin: 'Set up the first one',
		account: (name) => (name === 'default' ? 'First account' : name),
		accountAt: 'Signed in there as',
		since: 'Since',
		until: 'Ends',
		reconnectBy: 'Connect again by',
		scopes: (n) => (n === 1 ? 'May use 1 permission' : `May use ${n} permissions`),
		noScopes: 'No permissions are named',
		scopesAssumed: 'These were asked for; the provider does not say what was granted.',
		missing: 'New permissions are needed. Connect again to grant them:',
		connectShort: 'Connect', reconnectShort: 'Connect again', disconnectShort: 'Disconnect',
		another: 'Add another account',
		anotherLabel: 'A name for it, such as Work',
		anotherButton: (name) => `Connect another account of ${name}`,
		anotherTaken: 'You have an account of that name there already. Choose another name.',
		anotherBad: 'Give the account a name of up to 100 characters.',
		fieldHint: 'Ask whoever runs your account there if you do not know it.',
		fieldBad: (name) => `${name} does not take one of the values that were given. Correct it, and connect again.`,
		done: (name) => `${name} is connected.`,
		disconnected: (name) => `It is disconnected from ${name}. The provider is told to end the access as well.`,
		ends: 'The provider gives no lasting access. When it ends you have to connect again.',
		stopped: 'It is out of order. The administrators see this too.',
		unchanged: 'What was connected before stays as it was.',
	},

	leaving: {
		title: (name) => `Going to ${name}`,
		text: (name) => `You are being sent to ${name}. Sign in there and agree, and you come back here.`,
		again: 'If nothing happens, continue yourself.',
	},

	window: {
		connected: { title: 'Connected', text: 'You can close this window and go on in the other one.' },
		failed: { title: 'Not connected', text: 'You can close this window, and try again in the other one.' },
		close: 'Close this window',
	},

	disconnect: {
		title: (name) => `Disconnect ${name}?`,
		text: (name, account) => `The application can no longer use ${account === 'default' ? `your account at ${name}` : `your account “${account}” at ${name}`}. The access is ended at the provider, too. You can connect it again at any time.`,
		yes: 'Disconnect', no: 'Keep it',
	},

	// A code of docs/errors.md, or the provider's own, as the person reads it
	failures: {
		access_denied: 'You did not agree there, so nothing was connected.',
		consent_required: 'The provider wants you to agree, and you were not asked or did not. Please try again.',
		login_required: 'You were not signed in there. Please try again.',
		interaction_required: 'The provider has something to ask you first. Please try again.',
		provider_unavailable: 'The provider does not answer just now. Please try again in a minute.',
		temporarily_unavailable: 'The provider is busy just now. Please try again in a minute.',
		server_error: 'The provider had trouble of its own. Please try again in a minute.',
		connector_misconfigured: 'This is out of order. The administrators see why.',
		invalid_client: 'This is out of order. The administrators see why.',
		unauthorized_client: 'This is out of order. The administrators see why.',
		invalid_scope: 'The provider does not know one of the permissions that were asked for. The administrators see why.',
		issuer_mismatch: 'The answer did not come from the provider that was asked. Please begin again.',
		invalid_response: 'The provider’s answer made no sense. Please begin again.',
		invalid_id_token: 'The provider’s answer could not be checked. Please begin again.',
		other_account: 'That was another account. Please connect the same account again, or disconnect it first.',
		invalid_grant: 'The provider no longer accepts this connection. Connect again.',
		account_changed: 'The provider answered for another account. Connect again.',
		endpoints_changed: 'The address of the provider has changed. Connect again.',
		no_refresh_token: 'The access has ended, and the provider gave no way to renew it. Connect again.',
		rate_limited: 'The provider asks us to slow down. It is tried again by itself.',
		other: (code) => `The provider said “${code}”. Please try again.`,
		unknown: 'It did not work. Please try again.',
	},
	// of a connection that is tried again by itself
	failing: 'The provider does not answer just now. It is tried again by itself; you need not do anything.',

	admin: {
		title: 'Administration',
		first: {
			title: 'Set up the first connector',
			text: 'A connector is an OAuth client that your application has at a provider. You need the client’s id and secret, which the provider gives you when you register your application there.',
			button: 'Choose a provider',
		},
		health: {
			title: 'Health', good: 'Everything is well.', bad: (n) => (n === 1 ? '1 thing wants your attention.' : `${n} things want your attention.`),
			all: (n) => `All ${n} checks`, ok: 'Good', notOk: 'Look here',
		},
		connectors: {
			title: 'Connectors', name: 'Connector', provider: 'Provider', none: 'There is no connector yet.',
			people: 'People', stopped: 'Stopped',
		},
		calls: {
			title: 'Calls to providers', kind: 'Kind', calls: 'Calls', succeeded: 'Good', refused: 'Refused', unavailable: 'No answer',
			ms: 'Mean time', inFlight: 'Under way', since: 'Since the database server was started.',
			kinds: { exchange: 'Connecting', refresh: 'Refreshes', revocation: 'Revocations', keys: 'Keys' },
		},
		backlog: {
			title: 'Refreshes that are due',
			none: 'None: the worker keeps up.', some: (n, since) => `${connections(n)} due, the oldest since ${date(since)}.`,
		},
		plots: {
			title: 'Lately', refreshes: 'Refreshes a minute', failures: 'Calls that failed, a minute', due: 'Refreshes due',
			waiting: 'Figures are collected from now on; look again in a minute.',
			summary: (name, last, most, from, to) => `${name}: ${number(last)} at last, ${number(most)} at most, from ${date(from)} to ${date(to)}`,
			now: 'now', most: 'at most', table: 'As a table', time: 'Time',
		},
		events: {
			title: 'Events', recent: 'Recent events', all: 'More events', of: (person, connection) => `of ${person}${!connection || connection === 'default' ? '' : ` (${connection})`}`,
			none: 'Nothing has happened yet.', filter: 'Show', everything: 'Everything', button: 'Show', older: 'Older',
		},
		catalogue: {
			title: 'Add a connector', lead: 'Which provider is it for?', search: 'Search the catalogue', button: 'Search',
			found: (n, all) => (n === all ? `${number(all)} providers` : `${number(n)} of ${number(all)} providers`), none: 'There is no such provider in the catalogue.',
			own: 'A provider that is not there is made known by register_provider().', ownBadge: 'your own',
			more: (n) => `Search to see the other ${number(n)}.`,
		},
		client: {
			title: (name) => `Connect ${name}`,
			step1: (name) => `1. Register your application at ${name}`,
			step1Text: 'Create an OAuth client (they may call it an app) there, and give it this redirect URI, letter by letter:',
			redirectUri: 'Redirect URI to paste there',
			docs: (name) => `Documentation and console of ${name}`,
			step2: '2. Bring back what you were given',
			id: 'Client id', secret: 'Client secret',
			secretHint: 'It is sealed in the database and never shown again. Empty for a public client.',
			secretGoes: (endpoint) => `It is sent to ${endpoint}.`,
			moved: (endpoint) => `The provider's definition has changed since you were shown it: the secret would go to ${endpoint}. Look again, and save if that is right.`,
			scopes: 'Scopes', scopesHint: 'The permissions to ask for, separated by blanks or lines.',
			defaultScopes: (list) => `If you name none: ${list}.`, requiredScopes: (list) => `Always asked for as well: ${list}.`,
			connectorId: 'Id of the connector', connectorIdHint: 'What your code calls it.',
			name: 'Name that people see',
			fields: (name) => `Your site at ${name}`,
			notes: 'Know before you begin', unverified: 'Not confirmed by any source',
			unsupported: (why) => `This provider cannot be connected: ${why}`,
			button: 'Save and try it',
			failed: 'It was not saved',
		},
		trial: {
			title: (name) => `Try ${name}`,
			lead: 'A real round trip: sign in there with an account of your own, and agree. What comes back is kept as a connection of yours until you remove it.',
			button: 'Try it now', again: 'Try it again',
			good: 'It works.', goodText: (account) => (account ? `A token was fetched and stored for the account ${account}.` : 'A token was fetched and stored.'),
			granted: 'Granted', missing: 'Not granted, although asked for',
			missingText: 'The provider granted less than the connector asks for: whoever signed in left something out, or the client there lacks these scopes. Allow them in the provider’s console, or take them out of the connector.',
			remove: 'Remove the trial’s connection', removed: 'The trial’s connection is removed.',
			bad: 'It does not work.', said: 'What happened',
			waiting: (when) => `The trial that you began at ${when} has not come back.`,
			help: 'The provider shows an error page and nothing comes back?',
			helpRows: {
				redirect: 'It mentions the redirect URI: register this one there, letter by letter:',
				client: 'It does not know the client: the client id is wrong, or of another environment. You entered:',
				scope: 'It mentions a scope: it does not know, or does not allow, one of:',
			},
			reasons: {
				secret: 'The provider does not accept the client id with this client secret. Enter the secret anew, or correct the id.',
				redirect: 'The redirect URI is not the one that is registered at the provider.',
				scope: 'The provider does not know, or does not allow, a scope that the connector asks for.',
				denied: 'You did not agree there. That is an answer, too: the client id and the redirect URI are right.',
				unavailable: 'The provider could not be reached, or its answer was an error.',
				id_token: 'The provider’s ID token was refused.',
				issuer: 'The answer came from another issuer than the definition says.',
				response: 'The provider’s answer is not what OAuth says.',
				misconfigured: 'The provider refuses the client, or its address may not be called.',
				other: 'The provider refused.',
			},
			redirectHere: 'Register this redirect URI there:',
			finish: 'Go to the connector',
			notBegun: 'The trial could not begin',
		},
		connector: {
			facts: 'What it is', provider: 'Provider', clientId: 'Client id', redirectUris: 'Redirect URIs', scopes: 'Scopes', none: 'none', created: 'Created', changed: 'Changed',
			stopped: (why) => `It is stopped: ${why}. A change of the client or its secret starts it again.`,
			people: 'Connections', nobody: 'Nobody has connected yet.', status: 'Status', reason: 'Reason', count: 'Connections', since: 'Since',
			try: 'Try it',
			changeScopes: 'Change scopes', saveScopes: 'Save scopes', scopesHint: 'Those who have connected keep what they granted until they connect again.', savedScopes: 'The scopes are changed.',
			changeClient: 'Change the client', saveClient: 'Save client', savedClient: 'The client is changed.',
			secretHint: 'The new secret. What is stored is never shown.', idHint: 'As it is, unless the provider has given you another one.',
			remove: 'Delete this connector', removeLead: 'Ends every connection made through it.',
			removeTitle: (name) => `Delete ${name}?`,
			removeText: (n, c) => (Number(c) === 0 ? 'Nobody is connected through it.' : `${people(n)} ${Number(n) === 1 ? 'loses' : 'lose'} ${connections(c)}. Their access is ended at the provider, too, and they have to connect again should the connector come back.`),
			removeChanged: 'The number has grown since you were asked. Look again.',
			yes: (n) => (Number(n) === 0 ? 'Delete' : `Delete, and disconnect ${people(n)}`), no: 'Keep it',
			removed: (n) => `The connector is deleted, with ${connections(n)}.`,
		},
	},
};

// What became of it, in words for the person whom it befell; the code comes out of a URL, so only what looks like one is repeated.
export function failureText(code) {
	if (typeof code !== 'string' || code === '') return texts.failures.unknown;
	if (Object.hasOwn(texts.failures, code) && typeof texts.failures[code] === 'string') return texts.failures[code];
	return /^[a-z][a-z_]{2,40}$/.test(code) ? texts.failures.other(code) : texts.failures.unknown;
}
