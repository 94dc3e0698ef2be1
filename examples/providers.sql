-- Definitions of three well-known providers, from their public documentation.
-- Run as a member of appuser_connectors_admin; register a connector for each with
-- the OAuth client that you have there.

-- A refresh token comes only with access_type=offline, and again only with
-- prompt=consent.  Revoking any token ends the grant of that account and client.
SELECT appuser_connectors.register_provider('google', '{
	"name": "Google",
	"issuer": "https://accounts.google.com",
	"authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
	"token_endpoint": "https://oauth2.googleapis.com/token",
	"revocation_endpoint": "https://oauth2.googleapis.com/revoke",
	"jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
	"id_token_signed_response_alg": "RS256",
	"token_endpoint_auth_method": "client_secret_post",
	"authorization_params": {"access_type": "offline", "prompt": "consent"},
	"revocation_ends_grant": true}');

-- Ask for the scopes offline_access (a refresh token) and openid (whose account).
-- A work account's issuer names its tenant.
SELECT appuser_connectors.register_provider('microsoft', '{
	"name": "Microsoft",
	"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0",
	"authorization_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/authorize",
	"token_endpoint": "https://login.microsoftonline.com/common/oauth2/v2.0/token",
	"jwks_uri": "https://login.microsoftonline.com/common/discovery/v2.0/keys",
	"id_token_signed_response_alg": "RS256",
	"token_endpoint_auth_method": "client_secret_post"}');

-- Answers errors with status 200.  Tokens of OAuth apps do not expire; those of
-- GitHub Apps do, and come with a refresh token.
SELECT appuser_connectors.register_provider('github', '{
	"name": "GitHub",
	"authorization_endpoint": "https://github.com/login/oauth/authorize",
	"token_endpoint": "https://github.com/login/oauth/access_token",
	"token_endpoint_auth_method": "client_secret_post",
	"scope_separator": " "}');
