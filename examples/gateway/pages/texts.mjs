// texts.mjs: every text that a page shows, so that they can be translated.

export const texts = {
	back: 'Back to the application',
	request: (id) => `If you report this, give this number: ${id}`,
	problem: { title: 'That did not work' },

	// How a callback ended
	done: { title: 'Connected', text: (connector) => `“${connector}” is connected. This page has done its work: you can close it.` },
	ended: { title: 'Not connected', text: (connector) => `“${connector}” was not connected. If you want to try again, begin anew in the application.` },
	refused: {
		title: 'Please begin again',
		text: 'This link is old, was used before, or belongs to another browser or another person. Nothing was connected by it. Open the application in this browser, sign in, and choose “Connect” again.',
	},
	signIn: { title: 'Please sign in', text: 'Sign in to the application in this browser, and then choose “Connect” again.' },
	nothing: { title: 'Nothing to do here', text: 'This page is where other services send you back to. It was opened without what they send along.' },
	prefetch: { title: 'Not yet', text: 'This page does something only when you go to it yourself.' },
};
