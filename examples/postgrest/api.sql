-- The routes that an application's pages and backend functions call, as functions that PostgREST exposes, and the
-- check before each request: see README.md. To be run by a superuser in the database with the extension.

BEGIN;

-- What a request may do follows from the claim "role" of its JWT, which PostgREST verifies. Only web_service reads tokens.
CREATE ROLE authenticator LOGIN NOINHERIT;
CREATE ROLE web_anon NOLOGIN;
CREATE ROLE web_user NOLOGIN IN ROLE appuser_connectors_user;
CREATE ROLE web_service NOLOGIN IN ROLE appuser_connectors_service;
GRANT web_anon, web_user, web_service TO authenticator;

CREATE SCHEMA api;              -- db-schemas = "api"
CREATE SCHEMA api_private;      -- not exposed
GRANT USAGE ON SCHEMA api, api_private TO web_anon, web_user, web_service;

CREATE FUNCTION api_private.header(name text) RETURNS text
LANGUAGE sql STABLE
RETURN nullif(current_setting('request.headers', true), '')::json ->> name;
COMMENT ON FUNCTION api_private.header IS 'A header of the request; names are in lower case.';

-- A cookie for each flow, so that two tabs do not take each other's.
CREATE FUNCTION api_private.cookie_name(state text) RETURNS text
LANGUAGE sql IMMUTABLE
RETURN '__Host-connect-' || left(encode(sha256(convert_to(state, 'UTF8')), 'hex'), 16);
COMMENT ON FUNCTION api_private.cookie_name IS 'The cookie that binds a flow to the browser that began it.';

CREATE FUNCTION api_private.refuse(state text, message text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
	-- docs/errors.md: what an application has to tell apart
	statuses CONSTANT jsonb := '{"22023": 400, "28000": 401, "54000": 409, "UC001": 404, "UC002": 409, "UC003": 503,
		"UC004": 502, "UC005": 400, "UC006": 404, "UC007": 503, "UC008": 503, "UC009": 503}';
BEGIN
	IF statuses ? state THEN
		RAISE SQLSTATE 'PGRST' USING
			MESSAGE = json_build_object('code', state, 'message', message)::text,
			DETAIL = json_build_object('status', statuses -> state, 'headers', json_build_object())::text;
	END IF;
END $$;
COMMENT ON FUNCTION api_private.refuse IS 'Has PostgREST answer with the status of a known error; returns for any other.';

-- The extension verifies the person's JWT too, and takes nobody's word for it. The service names the person in On-Behalf-Of.
CREATE FUNCTION api_private.before_request() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
	credentials text := api_private.header(CASE WHEN current_user = 'web_service' THEN 'on-behalf-of' ELSE 'authorization' END);
	jwt text := substring(credentials FROM '^[Bb]earer +(\S+)$');
BEGIN
	IF jwt IS NOT NULL THEN
		PERFORM appuser_connectors.authenticate_app_user(jwt);
	END IF;
EXCEPTION WHEN OTHERS THEN
	PERFORM api_private.refuse(SQLSTATE, SQLERRM);
	RAISE;
END $$;
COMMENT ON FUNCTION api_private.before_request IS 'db-pre-request: authenticates the app user of the transaction.';

CREATE FUNCTION api.initiate(connector_id text, return_to text DEFAULT '/') RETURNS json
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
	binding text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
	url text;
BEGIN
	url := appuser_connectors.connect_app_user(initiate.connector_id, return_to => initiate.return_to, browser_binding => binding);
	PERFORM set_config('response.headers', json_build_array(json_build_object('Set-Cookie',
		format('%s=%s; Path=/; Max-Age=900; Secure; HttpOnly; SameSite=Lax',
			api_private.cookie_name(substring(url FROM '[?&]state=([^&#]+)')), binding)))::text, true);
	RETURN json_build_object('redirect_url', url);
EXCEPTION WHEN OTHERS THEN
	PERFORM api_private.refuse(SQLSTATE, SQLERRM);
	RAISE;
END $$;
COMMENT ON FUNCTION api.initiate IS 'Begins a connection: {"redirect_url": where to send the browser}. Sets a cookie.';

CREATE FUNCTION api.callback(params jsonb) RETURNS json
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
	cookies json := nullif(current_setting('request.cookies', true), '');
	outcome record;
BEGIN
	SELECT c.connector_id, c.return_to, c.failure INTO outcome
	FROM appuser_connectors.oauth_callback(NULL, params => callback.params,
		browser_binding => cookies ->> api_private.cookie_name(callback.params ->> 'state')) AS c;
	RETURN row_to_json(outcome);
EXCEPTION WHEN OTHERS THEN
	PERFORM api_private.refuse(SQLSTATE, SQLERRM);
	RAISE;
END $$;
COMMENT ON FUNCTION api.callback IS 'Finishes a connection with the query of the page that the provider sent the browser to. failure is null if it is connected.';

CREATE FUNCTION api.disconnect(connector_id text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
BEGIN
	RETURN appuser_connectors.disconnect_app_user(disconnect.connector_id);
EXCEPTION WHEN OTHERS THEN
	PERFORM api_private.refuse(SQLSTATE, SQLERRM);
	RAISE;
END $$;
COMMENT ON FUNCTION api.disconnect IS 'Removes the person''s connection, here and at the provider.';

CREATE FUNCTION api.token(connector_id text) RETURNS json
LANGUAGE plpgsql SET search_path = pg_catalog
AS $$
DECLARE
	found record;
BEGIN
	SELECT c.access_token, c.connection_config INTO found FROM appuser_connectors.current_app_user_connection($1) AS c;
	RETURN row_to_json(found);
EXCEPTION WHEN OTHERS THEN
	PERFORM api_private.refuse(SQLSTATE, SQLERRM);
	RAISE;
END $$;
COMMENT ON FUNCTION api.token IS 'A fresh access token of the person in On-Behalf-Of: for the service only.';

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA api, api_private FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA api_private TO web_anon, web_user, web_service;
GRANT EXECUTE ON FUNCTION api.initiate, api.callback, api.disconnect TO web_user;
GRANT EXECUTE ON FUNCTION api.token TO web_service;

COMMIT;
