// connect-account.js: <connect-account connector="google-calendar">, a button by which a person connects an account of theirs,
// for any page.  One file, no dependencies, nothing that a strict content security policy minds:
//
//   <script type="module" src="/assets/connect-account.js"></script>
//   <connect-account connector="google-calendar"></connect-account>
//
// Attributes
//   connector     the connector's id; required
//   connection    the name of the account, for a second one; "default"
//   label         what the connector is called on the button, instead of its name
//   mode          "popup" (default) opens a window of its own; "redirect" leaves the page and comes back to it
//   gateway, app  on a page of another origin: the gateway's origin, and the appId; then the property token is a function that
//                 returns the person's JWT or a promise of it, and mode is "redirect".  The gateway must allow the origin.
//   state         set by the element: loading, signed-out, not-connected, pending, connected, failing, reconnect-required, stopped,
//                 error.  For styling, as ::part(button) and ::part(status) are
//
// Events, which bubble; detail is { connector, connection } and, of the last two, failure: a code of docs/errors.md or the
// provider's own
//   connected     it is connected now
//   disconnected  it is not connected any more
//   denied        the person did not agree
//   failed        it was not connected for another reason
//
// Methods: connect(), disconnect(), refresh().  connect() must be called in a click's handler, or browsers block the window.
//
// Texts: ConnectAccount.texts, to be replaced or translated before the element is used.

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host { display: inline-flex; flex-wrap: wrap; align-items: center; gap: .25em .75em; font: inherit; }
:host([hidden]) { display: none; }
button { min-height: 2.75em; padding: .5em 1em; border: 1px solid currentColor; border-radius: .5em; background: transparent; color: inherit; font: inherit; font-weight: 600; cursor: pointer; }
button:focus-visible { outline: 3px solid; outline-offset: 2px; }
button[disabled] { cursor: default; opacity: .65; }
`);

const POLL = 2_000; // ms, while a flow is under way
const GIVE_UP = 15 * 60_000; // a flow lives no longer

export class ConnectAccount extends HTMLElement {
	static observedAttributes = ['connector', 'connection', 'gateway', 'label'];

	static texts = {
		connect: (name) => `Connect ${name}`,
		reconnect: (name) => `Connect ${name} again`,
		disconnect: (name) => `Disconnect ${name}`,
		pending: 'Go on in the other window.',
		connected: 'Connected.',
		failing: 'The provider does not answer just now.',
		stopped: 'Out of order.',
		denied: 'Not connected: you did not agree.',
		failed: 'Not connected. Please try again.',
		signedOut: 'Sign in first.',
		error: 'This cannot be shown just now.',
	};

	// token, of a page of another origin: () => JWT.  No field here, which would take the place of what the page has set before this
	// file was loaded.

	#button;
	#status;
	#name = '';
	#poll;
	#pendingSince = 0;
	#channel;
	#focus = () => this.refresh();

	connectedCallback() {
		if (!this.shadowRoot) {
			const root = this.attachShadow({ mode: 'open', delegatesFocus: true });
			root.adoptedStyleSheets = [sheet];
			this.#button = Object.assign(document.createElement('button'), { type: 'button', disabled: true });
			this.#button.part = 'button';
			this.#status = document.createElement('span');
			this.#status.setAttribute('role', 'status');
			this.#status.part = 'status';
			root.append(this.#button, this.#status);
			this.#button.addEventListener('click', () => (this.isConnectedThere ? this.disconnect() : this.connect()));
		}
		addEventListener('focus', this.#focus);
		if (!this.#isForeign) {
			this.#channel = new BroadcastChannel('appuser-connectors');
			this.#channel.addEventListener('message', ({ data }) => this.#told(data));
		}
		this.#comeBack();
	}

	disconnectedCallback() {
		removeEventListener('focus', this.#focus);
		this.#channel?.close();
		clearTimeout(this.#poll);
	}

	attributeChangedCallback() {
		if (this.isConnected && this.shadowRoot) this.refresh();
	}

	get connector() { return this.getAttribute('connector') ?? ''; }
	get connection() { return this.getAttribute('connection') || 'default'; }
	get state() { return this.getAttribute('state') ?? 'loading'; }
	get isConnectedThere() { return this.state === 'connected' || this.state === 'failing'; }
	get #gateway() { return new URL(this.getAttribute('gateway') || new URL(import.meta.url).origin).origin; }
	get #isForeign() { return this.#gateway !== location.origin; }
	get #pendingKey() { return `connect-account ${this.connector} ${this.connection}`; }

	// What is so: asks the gateway, and tells by an event if it has changed while a flow was under way.
	async refresh() {
		const before = this.state;
		const was = this.isConnectedThere;
		const wanted = this.#pendingKey;
		let found;
		try {
			const answer = await this.#ask(`/connections/status?${new URLSearchParams({ connector: this.connector })}`);
			if (answer.status === 401) return this.#show('signed-out');
			if (!answer.ok) return this.#show('error');
			[found] = (await answer.json()).connectors;
		} catch {
			return this.#show('error');
		}
		if (wanted !== this.#pendingKey) return undefined; // an attribute has changed meanwhile
		if (!found) return this.#show('error');
		this.#name = found.name;
		const connection = found.connections.find((c) => c.connection === this.connection);
		const status = connection?.status.replaceAll('_', '-') ?? (found.stopped ? 'connector-stopped' : 'not-connected');
		const state = { 'connector-stopped': 'stopped' }[status] ?? status;
		// while somebody connects again what was connected stays so: its time tells that it is new
		const isNew = this.#pendingSince > 0 && connection && connection.connected_at !== this.#connectedAt && state === 'connected';
		if (this.#pendingSince > 0 && !isNew && state !== 'stopped') return this.#goOn();
		this.#connectedAt = connection?.connected_at ?? null;
		this.#pendingSince = 0;
		this.#show(state);
		if (isNew) this.#tell('connected');
		else if (was && before !== 'loading' && state === 'not-connected') this.#tell('disconnected');
		return undefined;
	}

	#connectedAt = null;

	async connect() {
		if (this.#isForeign) {
			const answer = await this.#ask(`/api/apps/${encodeURIComponent(this.getAttribute('app') ?? '')}/app-user-auth/connectors/${encodeURIComponent(this.connector)}/initiate`, {
				method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ connection_name: this.connection, return_to: location.href }),
			});
			if (!answer.ok) return this.#end('failed', 'failed');
			const { redirect_url: url } = await answer.json();
			sessionStorage.setItem(this.#pendingKey, this.#connectedAt ?? '-');
			return location.assign(url);
		}
		// where no window may be opened, as in many an app's browser, this page is left
		const target = `connect-account-${Date.now()}`;
		const popup = this.getAttribute('mode') !== 'redirect' && open('', target, 'popup,width=540,height=720') !== null;
		const fields = { connector: this.connector, connection: this.connection, ...(popup ? { popup: '1' } : { return_to: location.pathname + location.search }) };
		// a form, so that the gateway's cookie is set in the window that goes to the provider
		const form = Object.assign(document.createElement('form'), { method: 'post', action: `${this.#gateway}/connections/connect`, hidden: true });
		for (const [name, value] of Object.entries(fields)) form.append(Object.assign(document.createElement('input'), { type: 'hidden', name, value }));
		if (popup) {
			form.target = target;
			this.#pendingSince = Date.now();
			this.#show('pending');
			this.#goOn();
		} else {
			sessionStorage.setItem(this.#pendingKey, this.#connectedAt ?? '-');
		}
		document.body.append(form);
		form.submit();
		form.remove();
		return undefined;
	}

	async disconnect() {
		const answer = this.#isForeign
			? await this.#ask(`/api/apps/${encodeURIComponent(this.getAttribute('app') ?? '')}/app-user-auth/connectors/${encodeURIComponent(this.connector)}?${new URLSearchParams({ connection_name: this.connection })}`, { method: 'DELETE' })
			: await this.#ask('/connections/disconnect', {
				method: 'POST', headers: { accept: 'application/json' }, body: new URLSearchParams({ connector: this.connector, connection: this.connection }),
			});
		if (answer.ok) await this.refresh();
	}

	async #ask(path, options = {}) {
		const headers = { accept: 'application/json', ...options.headers };
		if (this.token) headers.authorization = `Bearer ${await this.token()}`;
		return fetch(this.#gateway + path, { ...options, headers, credentials: this.#isForeign ? 'omit' : 'same-origin', cache: 'no-store' });
	}

	// A window that was opened has ended; its word is only that.
	#told({ connector, connection, failure }) {
		if (connector !== this.connector || connection !== this.connection) return;
		if (!failure) this.refresh();
		else if (this.#pendingSince > 0) this.#failed(failure);
	}

	// It comes out of a URL, which anybody may make up, and whoever listens may put it into a page.
	#failed(failure) {
		return this.#end(failure === 'access_denied' ? 'denied' : 'failed', /^[\w.-]{1,100}$/.test(failure) ? failure : 'unknown');
	}

	async #end(name, failure) {
		this.#pendingSince = 0;
		await this.refresh();
		this.#status.textContent = ConnectAccount.texts[name];
		this.#tell(name, { failure });
	}

	// Still under way, as far as anybody knows
	#goOn() {
		clearTimeout(this.#poll);
		if (Date.now() - this.#pendingSince > GIVE_UP) {
			this.#pendingSince = 0;
			return this.refresh();
		}
		this.#poll = setTimeout(() => { if (this.#pendingSince > 0) this.refresh(); }, POLL);
		return undefined;
	}

	// Back on the page that was left for the provider
	async #comeBack() {
		const left = sessionStorage.getItem(this.#pendingKey);
		sessionStorage.removeItem(this.#pendingKey);
		await this.refresh();
		if (left === null) return;
		const query = new URLSearchParams(location.search);
		const failure = query.get('connector') === this.connector && (query.get('connection') ?? 'default') === this.connection ? query.get('failure') : null;
		if (failure) await this.#failed(failure);
		else if (this.isConnectedThere && (this.#connectedAt ?? '-') !== left) this.#tell('connected');
	}

	#show(state) {
		const { texts } = ConnectAccount;
		const name = this.getAttribute('label') || this.#name || this.connector;
		const button = { connected: texts.disconnect, failing: texts.disconnect, 'reconnect-required': texts.reconnect }[state] ?? texts.connect;

		this.setAttribute('state', state);
		this.#button.textContent = button(name);
		// whoever has closed the other window begins again
		this.#button.disabled = ['loading', 'signed-out', 'stopped', 'error'].includes(state);
		this.#status.textContent = {
			pending: texts.pending, connected: texts.connected, failing: texts.failing, stopped: texts.stopped, 'signed-out': texts.signedOut, error: texts.error,
		}[state] ?? '';
	}

	#tell(name, more = {}) {
		this.dispatchEvent(new CustomEvent(name, { bubbles: true, composed: true, detail: { connector: this.connector, connection: this.connection, ...more } }));
	}
}

if (!customElements.get('connect-account')) customElements.define('connect-account', ConnectAccount);
