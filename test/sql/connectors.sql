--
-- What an admin does: providers and connectors, and the errors on the way
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude
SET ROLE regress_admin;
SET search_path = appuser_connectors;

-- A provider is a definition with names of RFC 8414 and of the extension's own
SELECT register_provider('regress', '{"authorization_endpoint": "https://id.example.com/auth",
	"token_endpoint": "https://id.example.com/token", "revocation_endpoint": "https://id.example.com/revoke",
	"issuer": "https://id.example.com", "name": "Example", "scope_separator": ","}');
SELECT provider, definition, built_in FROM providers WHERE provider = 'regress';

-- Saying the same again changes nothing, saying another thing replaces it
SELECT updated_at AS before FROM providers WHERE provider = 'regress' \gset
SELECT register_provider('regress', definition) FROM providers WHERE provider = 'regress';
SELECT updated_at = :'before' AS unchanged FROM providers WHERE provider = 'regress';
SELECT register_provider('regress', definition || '{"scope_separator": " "}') FROM providers WHERE provider = 'regress';
SELECT updated_at > :'before' AS changed, definition ->> 'scope_separator' AS separator FROM providers WHERE provider = 'regress';

-- What is no definition is refused where it is given, name by name
\set VERBOSITY terse
SELECT member, pg_temp.refusal(format($$SELECT appuser_connectors.register_provider('bad', %L)$$,
	'{"authorization_endpoint": "https://a.example/auth", "token_endpoint": "https://a.example/token"}'::jsonb || member))
FROM unnest(ARRAY[
	'{"token_endpoint": null}', '{"authorization_endpoint": null}', '{"token_endpoint": 5}',
	'{"token_endpoint": ""}', '{"token_endpoint": "nonsense"}', '{"token_endpoint": "ftp://a.example/token"}',
	'{"token_endpoint": "http://a.example/token"}', '{"token_endpoint": "https://u:p@a.example/token"}',
	'{"token_endpoint": "https://a.example/token#f"}', '{"revocation_endpoint": "javascript:alert(1)"}',
	'{"userinfo_endpoint": "file:///etc/passwd"}', '{"jwks_uri": "http://169.254.169.254/"}',
	'{"issuer": ""}', '{"pkce": "S512"}', '{"pkce": ""}', '{"pkce": "S256|off"}',
	'{"token_endpoint_auth_method": "private_key"}', '{"authorization_params": ["a"]}',
	'{"authorization_params": {"a": 1}}', '{"authorization_params": {"a": {"b": "c"}}}', '{"token_types": {"a": "b"}}',
	'{"token_types": [1]}', '{"token_types": "bearer"}', '{"default_expires_in": -1}',
	'{"default_expires_in": "60"}', '{"default_expires_in": 1e12}', '{"refresh_margin": true}',
	'{"revocation_ends_grant": "yes"}']::jsonb[]) AS member;
SELECT regexp_replace(pg_temp.refusal($$SELECT appuser_connectors.register_provider('bad', '{"token_endpont": "https://a.example/"}')$$), 'endpoint, .*', 'endpoint, ...') AS refusal;
SELECT pg_temp.refusal(format('SELECT appuser_connectors.register_provider(%L, %L)', name, definition))
FROM (VALUES ('bad', '[]'), ('bad', '"https://a.example"'), ('bad', 'null'), ('bad', '{}'), ('', '{}'),
	(repeat('x', 101), '{}'), (NULL, '{}'), ('bad', NULL)) AS v(name, definition);
SELECT count(*) FROM providers WHERE provider = 'bad';

-- A connector is an OAuth client at a provider; its id is the provider's name unless given
SELECT register_connector('regress', 'client', 'secret', ARRAY['a', 'b'], ARRAY['https://app.example/cb']);
SELECT register_connector('regress', 'client', 'secret', '{}', ARRAY['https://app.example/cb', 'com.example.app:/cb'],
	connector_id => 'second', name => 'The second', connection_config => '{"region": "eu"}',
	options => '{"return_to": ["https://app.example/done"], "pkce": "S256"}');
SELECT connector_id, provider, name, client_id, scopes, redirect_uris, connection_config, options,
	   stopped_at IS NULL AS runs
FROM connectors WHERE connector_id IN ('regress', 'second') ORDER BY 1;

-- Repeating that is a no-op, so that migrations can run twice; other values are an error, not a change
SELECT register_connector('regress', 'client', 'secret', ARRAY['a', 'b'], ARRAY['https://app.example/cb']);
SELECT pg_temp.refusal(format($$SELECT appuser_connectors.register_connector('regress', %s, connector_id => 'regress')$$, given))
FROM unnest(ARRAY[
	$$'other', 'secret', '{a,b}', '{https://app.example/cb}'$$,
	$$'client', 'guess', '{a,b}', '{https://app.example/cb}'$$,
	$$'client', 'secret', '{a}', '{https://app.example/cb}'$$,
	$$'client', 'secret', '{b,a}', '{https://app.example/cb}'$$,
	$$'client', 'secret', '{a,b}', '{https://app.example/other}'$$,
	$$'client', 'secret', '{a,b}', '{https://app.example/cb}', name => 'Other'$$,
	$$'client', 'secret', '{a,b}', '{https://app.example/cb}', options => '{"pkce": "off"}'$$,
	$$'client', 'secret', '{a,b}', '{https://app.example/cb}', connection_config => '{}'$$]) AS given;

-- What is no connector is refused
SELECT given, pg_temp.refusal(format('SELECT appuser_connectors.register_connector(%s)', given))
FROM unnest(ARRAY[
	$$'no-such-provider', 'c', 's', '{}', '{https://app.example/cb}'$$,
	$$NULL, 'c', 's', '{}', '{https://app.example/cb}'$$,
	$$'regress', NULL, 's', '{}', '{https://app.example/cb}', 'x'$$,
	$$'regress', '', 's', '{}', '{https://app.example/cb}', 'x'$$,
	$$'regress', 'c', NULL, '{}', '{https://app.example/cb}', 'x'$$,
	$$'regress', 'c', '', '{}', '{https://app.example/cb}', 'x'$$,
	$$'regress', 'c', 's', '{a b}', '{https://app.example/cb}', 'x'$$,
	$$'regress', 'c', 's', '{""}', '{https://app.example/cb}', 'x'$$,
	$$'regress', 'c', 's', '{"a\"b"}', '{https://app.example/cb}', 'x'$$,
	$$'regress', 'c', 's', '{NULL}', '{https://app.example/cb}', 'x'$$,
	$$'regress', 'c', 's', '{}', '{}', 'x'$$,
	$$'regress', 'c', 's', '{}', NULL, 'x'$$,
	$$'regress', 'c', 's', '{}', '{http://app.example/cb}', 'x'$$,
	$$'regress', 'c', 's', '{}', '{https://app.example/cb#f}', 'x'$$,
	$$'regress', 'c', 's', '{}', '{https://u@app.example/cb}', 'x'$$,
	$$'regress', 'c', 's', '{}', '{javascript:alert(1)}', 'x'$$,
	$$'regress', 'c', 's', '{}', '{/cb}', 'x'$$,
	$$'regress', 'c', 's', '{}', '{https://app.example/cb}', ''$$,
	$$'regress', 'c', 's', '{}', '{https://app.example/cb}', 'x', connection_config => '[]'$$,
	$$'regress', 'c', 's', '{}', '{https://app.example/cb}', 'x', options => '[]'$$,
	$$'regress', 'c', 's', '{}', '{https://app.example/cb}', 'x', options => '{"retrn_to": []}'$$,
	$$'regress', 'c', 's', '{}', '{https://app.example/cb}', 'x', options => '{"return_to": ["/a"]}'$$,
	$$'regress', 'c', 's', '{}', '{https://app.example/cb}', 'x', options => '{"resource": "a"}'$$,
	$$'regress', 'c', 'file:secret', '{}', '{https://app.example/cb}', 'x'$$]) AS given;
SELECT pg_temp.refusal(format($$SELECT appuser_connectors.register_connector('regress', 'c', 's', '{}', '{https://app.example/cb}', %L)$$, repeat('x', 1025)));
SELECT count(*) FROM connectors WHERE connector_id = 'x';

-- update_connector leaves what is NULL, and clears what is '' or {}
SELECT update_connector('second', name => 'Renamed');
SELECT update_connector('second', scopes => ARRAY['x'], redirect_uris => ARRAY['https://app.example/new']);
SELECT provider, name, client_id, scopes, redirect_uris, connection_config, options FROM connectors WHERE connector_id = 'second';
SELECT update_connector('second', name => '', scopes => '{}', connection_config => '{}', options => '{}');
SELECT provider, name, client_id, scopes, redirect_uris, connection_config, options FROM connectors WHERE connector_id = 'second';
SELECT given, pg_temp.refusal(format('SELECT appuser_connectors.update_connector(%s)', given))
FROM unnest(ARRAY[
	$$'no-such-connector'$$, $$NULL$$, $$'second', provider => 'no-such-provider'$$, $$'second', client_id => ''$$,
	$$'second', client_secret => ''$$, $$'second', redirect_uris => '{}'$$, $$'second', scopes => '{a b}'$$,
	$$'second', connection_config => '5'$$, $$'second', options => '{"a": 1}'$$]) AS given;

-- It takes the provider's definition of today only when the provider is named again
\set VERBOSITY default
SELECT register_provider('regress', definition || '{"name": "Example 2", "scope_separator": ";"}') FROM providers WHERE provider = 'regress';
SELECT register_provider('regress', definition || '{"name": "Example 2", "scope_separator": ";"}') FROM providers WHERE provider = 'regress';
\set VERBOSITY terse
SELECT update_connector('second', scopes => '{y}');
SET ROLE none;
SELECT definition ->> 'scope_separator' AS separator FROM connectors WHERE connector_id = 'second';
SET ROLE regress_admin;
SELECT update_connector('second', provider => 'regress');
SET ROLE none;
SELECT definition ->> 'scope_separator' AS separator FROM connectors WHERE connector_id = 'second';

-- An edit by SQL stops the connector; giving all of it anew mends it
UPDATE connectors SET definition = definition || '{"token_endpoint": "https://evil.example/token"}' WHERE connector_id = 'second';
SET ROLE regress_admin;
SELECT pg_temp.refusal($$SELECT appuser_connectors.update_connector('second', name => 'x')$$);
SELECT pg_temp.refusal($$SELECT appuser_connectors.register_connector('regress', 'client', 'secret', '{}', '{https://app.example/new}', 'second')$$);
SELECT pg_temp.refusal($$SELECT appuser_connectors.update_connector('second', provider => 'regress', client_secret => 'secret')$$);
SELECT update_connector('second', 'regress', 'client', 'secret', '{y}', '{https://app.example/new}', connection_config => '{}', options => '{}');
SELECT update_connector('second', name => 'x');
SET ROLE none;
SELECT definition ->> 'token_endpoint' AS token_endpoint FROM connectors WHERE connector_id = 'second';
SET ROLE regress_admin;

-- A client without a secret is one of a provider that wants none
SELECT register_provider('regress-public', '{"authorization_endpoint": "https://id.example.com/auth",
	"token_endpoint": "https://id.example.com/token", "token_endpoint_auth_method": "none"}');
SELECT register_connector('regress-public', 'client', NULL, '{}', ARRAY['http://127.0.0.1/cb']);
SELECT register_connector('regress-public', 'client', '', '{}', ARRAY['http://127.0.0.1/cb']);

-- Many connectors may use one provider, and each is deleted by itself
SELECT delete_connector('regress');
SELECT connector_id FROM connectors WHERE provider LIKE 'regress%' ORDER BY 1;
SELECT pg_temp.refusal($$SELECT appuser_connectors.delete_connector('regress')$$);
SELECT pg_temp.refusal($$SELECT appuser_connectors.delete_connector(NULL)$$);

-- What was done is among the events, which tell no secret
SELECT connector_id, event, count(*) FROM connection_events WHERE connector_id IN ('regress', 'second') GROUP BY 1, 2 ORDER BY 1, 2;

-- The admin reads everything of a connector but its secret, and writes nothing by SQL
SELECT client_secret FROM registered_connectors;
SELECT client_secret FROM connectors;
SELECT count(*) > 0 AS reads FROM (SELECT * FROM connectors) AS c;
UPDATE connectors SET name = 'x';
DELETE FROM connectors;
INSERT INTO providers (provider) VALUES ('x');
INSERT INTO registered_providers VALUES ('x', '{}', now());

-- All of it is transactional
BEGIN;
SELECT delete_connector('second');
ROLLBACK;
SELECT connector_id FROM connectors WHERE connector_id = 'second';

SELECT delete_connector('second'), delete_connector('regress-public');
SET ROLE none;
DELETE FROM registered_providers WHERE provider LIKE 'regress%';
