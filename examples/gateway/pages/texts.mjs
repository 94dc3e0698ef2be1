// texts.mjs: every text that a page shows, so that they can be translated.

export const texts = {
	problem: { title: 'That did not work' },
	back: 'Back to the application',
	request: (id) => `If you report this, give this number: ${id}`,
	prefetch: { title: 'Not yet', text: 'This page is only shown when you go to it yourself.' },
};
