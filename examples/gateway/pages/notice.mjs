// notice.mjs: pages that say one thing: how a callback ended, or what went wrong.
import { html, layout } from './layout.mjs';
import { failureText, texts } from './texts.mjs';

// kind: one of texts that has a title; problem, connector, failure and id as far as they are known; home: where to go on
export function noticePage(kind, { problem, connector, failure, id, home = '/' }) {
	if (problem?.status === 401) return signInPage();
	const { title, text } = texts[kind];
	const words = problem ? texts.problems[problem.kind] ?? problem.message : typeof text === 'function' ? text(connector) : text;

	return layout({
		title,
		body: html`${failure && html`<p>${failureText(failure)}</p>`}<p>${words}</p>
<p><a class="button" href="${home}">${texts.back}</a></p>
${id && html`<p class="small">${texts.request(id)}</p>`}`,
	});
}

export function signInPage({ demo = false } = {}) {
	return layout({
		title: texts.signIn.title,
		body: html`<p>${texts.signIn.text}</p>${demo && html`<p><a class="button" href="/demo">${texts.signIn.demo}</a></p>`}`,
	});
}
