-- Who the app user is by a signed JWT (RFC 7519), and whose JWTs are believed.

CREATE FUNCTION appuser_connectors.authenticate_app_user(jwt text, is_local boolean DEFAULT true)
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'authenticate_app_user';
COMMENT ON FUNCTION appuser_connectors.authenticate_app_user(text, boolean) IS
'Verifies a JWT of a registered issuer and makes the app user that it names the one this transaction acts for; returns that app user. Ends with the transaction, and when the JWT expires: from then on there is no app user. is_local => false keeps it for the session and needs appuser_connectors.allow_session_identity. Give the JWT as a bind parameter. Errors: 28000 the JWT is refused (what was set before stays), 22004 null, UC003 the issuer''s keys could not be fetched, 42501 session identity not allowed, or inside a security-restricted operation, UC007, UC008, XX001 the issuer was changed outside register_issuer().';

CREATE FUNCTION appuser_connectors.register_issuer(
	issuer text, jwks jsonb DEFAULT NULL, jwks_uri text DEFAULT NULL, hmac_key text DEFAULT NULL,
	audiences text[] DEFAULT NULL, algorithms text[] DEFAULT NULL,
	app_user_template text DEFAULT '{sub}', clock_skew interval DEFAULT '30 s',
	token_types text[] DEFAULT NULL)
RETURNS text
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'register_issuer';
COMMENT ON FUNCTION appuser_connectors.register_issuer(text, jsonb, text, text, text[], text[], text, interval, text[]) IS
'Registers whose JWTs authenticate_app_user() accepts, or replaces what was registered for that issuer; returns the issuer. issuer: exactly the iss claim. Its keys are one of jwks (public keys, RFC 7517), jwks_uri (fetched by the worker and kept) and hmac_key (''file:NAME'' in the directory issuers of appuser_connectors.secrets_directory, for HS256, HS384, HS512, which algorithms must then name). audiences: the aud claim must be or hold one of them; NULL: not checked. algorithms: NULL: all RS, PS, ES and EdDSA. app_user_template: literal text and {claim}s, {outer.inner} for a nested one; what two issuers'' templates make must differ, by a prefix of its own for each. clock_skew: at most 10 minutes. token_types: what the typ header may say; NULL: JWT, at+jwt, or nothing. Repeating it identically does nothing. Errors: 22023, 22004, 58P01 no such file, 55000 others could read or replace the file, UC007, UC008.';

CREATE FUNCTION appuser_connectors.delete_issuer(issuer text)
RETURNS boolean
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'delete_issuer';
COMMENT ON FUNCTION appuser_connectors.delete_issuer(text) IS
'From its commit on no JWT of that issuer is accepted; an app user already authenticated in a transaction under way stays. False when there was none. Error: 22004.';
