// pages.mjs: what a person sees at the test provider: sign in, agree, error.
// Plain forms without script, so that a browser and login.mjs walk the same pages.
const escapes = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
const esc = (text) => String(text ?? '').replace(/[&<>"']/g, (c) => escapes[c]);

const page = (title, body) => `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${esc(title)}</title>
<style>
body { margin: 0; font: 16px/1.5 "DejaVu Sans", sans-serif; color: #1c2430; background: #eef1f5; }
main { max-width: 22rem; margin: 4rem auto; padding: 2rem; background: #fff; border-radius: 8px; box-shadow: 0 1px 4px #0002; }
h1 { margin: 0 0 .25rem; font-size: 1.3rem; }
p { margin: 0 0 1.25rem; color: #566173; }
label { display: block; margin-bottom: .75rem; }
input[type=text], input[type=password] { box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; border: 1px solid #aab4c3; border-radius: 4px; }
button { padding: .5rem 1.25rem; font: inherit; border: 1px solid #2459b3; border-radius: 4px; background: #fff; color: #2459b3; cursor: pointer; }
button.main { background: #2459b3; color: #fff; }
</style>
</head>
<body><main>
<h1>${esc(title)}</h1>
${body}
</main></body>
</html>
`;

export const loginPage = ({ uid, clientName, hint }) => page('Sign in', `<p>to continue to <b>${esc(clientName)}</b></p>
<form method="post" action="/interaction/${esc(uid)}">
<label>Account <input type="text" name="account" value="${esc(hint)}" required autofocus autocomplete="off"></label>
<label>Password <input type="password" name="password" autocomplete="off"></label>
<button class="main" name="action" value="login">Sign in</button>
<button name="action" value="cancel" formnovalidate>Cancel</button>
</form>`);

export const consentPage = ({ uid, clientName, account, scopes }) => page('Allow access?', `<p><b>${esc(clientName)}</b> asks for access to the account <b>${esc(account)}</b>:</p>
<form method="post" action="/interaction/${esc(uid)}">
${scopes.map((scope) => `<label><input type="checkbox" name="scope" value="${esc(scope)}" checked> ${esc(scope)}</label>`).join('\n')}
<button class="main" name="action" value="allow">Allow</button>
<button name="action" value="deny">Deny</button>
</form>`);

export const errorPage = (out) => page('This did not work', `<p>${Object.entries(out).map(([name, value]) => `${esc(name)}: ${esc(value)}`).join('<br>')}</p>`);
