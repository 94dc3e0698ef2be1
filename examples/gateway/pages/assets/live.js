// live.js: shows what has changed meanwhile, in another tab or window or at the provider, without a reload.  Nothing needs it.
const live = document.getElementById('live');
const EVERY = 15_000; // ms, while the page is looked at

// The outcome of what was done is told once, not after each reload.
if (location.search) history.replaceState(history.state, '', location.pathname);

async function update() {
	// not under somebody's hands
	if (document.hidden || !live || live.contains(document.activeElement) || live.querySelector('details[open]')) return;
	try {
		const answer = await fetch(location.pathname, { headers: { accept: 'text/html' } });
		if (!answer.ok) return;
		const now = new DOMParser().parseFromString(await answer.text(), 'text/html').getElementById('live');
		if (now && now.innerHTML !== live.innerHTML) live.replaceChildren(...now.childNodes);
	} catch { /* the next time */ }
}

setInterval(update, EVERY);
addEventListener('focus', update);
document.addEventListener('visibilitychange', update);
addEventListener('pageshow', (event) => { if (event.persisted) update(); });
new BroadcastChannel('appuser-connectors').addEventListener('message', update);
