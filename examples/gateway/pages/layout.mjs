// layout.mjs: what every page has in common, and the only way text gets into HTML.
//
//   html`<p>${anything}</p>`     escapes what is put in, but for other html`…`, of which it joins lists
//   layout({ title, body })      the whole page, as text
//
// An address that came from elsewhere goes through safeUrl() before it is put into href.
import { date, language, texts } from './texts.mjs';

class Markup {
	constructor(text) {
		this.text = text;
	}

	toString() {
		return this.text;
	}
}

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;', '`': '&#96;' };

function markup(value) {
	if (value instanceof Markup) return value.text;
	if (Array.isArray(value)) return value.map(markup).join('');
	if (value === null || value === undefined || value === false) return '';
	return String(value).replace(/[&<>"'`]/g, (character) => ENTITIES[character]);
}

export function html(strings, ...values) {
	return new Markup(strings.reduce((text, string, i) => text + markup(values[i - 1]) + string));
}

// http and https only: an address of a provider's documentation comes from a table.
export function safeUrl(value) {
	try {
		const url = new URL(value);
		return /^https?:$/.test(url.protocol) ? url.href : null;
	} catch {
		return null;
	}
}

export const time = (value) => html`<time datetime="${new Date(value).toISOString()}">${date(value)}</time>`;

// kind: good, bad or plain
export const notice = (kind, title, body = '') => html`<div class="notice ${kind}" role="${kind === 'bad' ? 'alert' : 'status'}">
<p><strong>${title}</strong></p>${body}</div>`;

function navigation(current, isAdmin) {
	const link = (key, href) => html`<li><a href="${href}"${current === key ? html` aria-current="page"` : ''}>${texts.nav[key]}</a></li>`;
	return html`<nav aria-label="${texts.navigation}"><ul>
${link('connections', '/connections')}
${isAdmin ? [link('overview', '/admin'), link('add', '/admin/new'), link('events', '/admin/events')] : ''}
</ul></nav>`;
}

// current: the key of texts.nav that the page is; without it there is no navigation.  script: the name of one of the pages' own
// scripts, which no page needs to work.
export function layout({ title, body, head = '', current = null, isAdmin = false, script = null, heading = title }) {
	return html`<!DOCTYPE html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} – ${texts.site}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/assets/style.css">
${script && html`<script src="/assets/${script}" type="module"></script>`}
${head}
</head>
<body>
<a class="skip" href="#content">${texts.skip}</a>
<header><p class="site">${texts.site}</p>${current && navigation(current, isAdmin)}</header>
<main id="content" tabindex="-1">
<h1>${heading}</h1>
${body}
</main>
</body>
</html>
`.toString();
}

// Sends the browser to another site.  A page and not a redirect: the policy form-action would stop a redirect that a form led to.
// A refresh at once takes this page's place in the history, so that Back does not send the form again.
export function leavePage(url, title, words) {
	return layout({
		title,
		head: html`<meta http-equiv="refresh" content="0; url=${url}">`,
		body: html`<p role="status">${words}</p><p>${texts.leaving.again}</p><p><a class="button" href="${url}" rel="noreferrer">${texts.continue}</a></p>`,
	});
}
