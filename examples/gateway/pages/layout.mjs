// layout.mjs: what every page has in common, and the only way text gets into HTML.
//
//   html`<p>${anything}</p>`     escapes what is put in, but for other html`…`, of which it joins lists
//   layout({ title, body })      the whole page, as text

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

export function layout({ title, body, head = '' }) {
	return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
${head}
</head>
<body>
<main>
<h1>${title}</h1>
${body}
</main>
</body>
</html>
`.toString();
}

// Sends the browser to another site.  A page and not a redirect: the policy form-action would stop a
// redirect that a form led to.
export function leavePage(url, title, words) {
	return layout({
		title,
		head: html`<meta http-equiv="refresh" content="0; url=${url}">`,
		body: html`<p>${words}</p><p><a href="${url}" rel="noreferrer">Continue</a></p>`,
	});
}
