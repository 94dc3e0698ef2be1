// notice.mjs: pages that say one thing, such as how a callback ended.
import { html, layout } from './layout.mjs';
import { texts } from './texts.mjs';

export function noticePage(kind, { problem, id, home = '/' }) {
	return layout({
		title: texts.problem.title,
		body: html`<p>${problem.message}</p><p><a href="${home}">${texts.back}</a></p><p><small>${texts.request(id)}</small></p>`,
	});
}
