// notice.mjs: pages that say one thing: how a callback ended, or what went wrong.
import { html, layout } from './layout.mjs';
import { texts } from './texts.mjs';

export function noticePage(kind, { problem, connector, id, home = '/' }) {
	const { title, text } = texts[kind];
	const words = problem ? problem.message : typeof text === 'function' ? text(connector) : text;

	return layout({
		title,
		body: html`<p>${words}</p>
<p><a href="${home}">${texts.back}</a></p>
${id && html`<p><small>${texts.request(id)}</small></p>`}`,
	});
}
