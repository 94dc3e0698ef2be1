--
-- Who the app user is by a JWT: issuers and their administration, what a caller
-- sees, and the subject of request.jwt.claims where that is trusted
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set prelude :abs_srcdir '/sql/prelude.psql'
\i :prelude
SET search_path = appuser_connectors;
-- an Ed25519 key, and what its issuer signed: for alice and bob until the year 2100,
-- for alice until 2001
\set jwk '{"kty":"OKP","crv":"Ed25519","kid":"k","x":"elLNgJR8ktDDv_f86JEBArWjWtK_DLjiGpHsp2Ojk3g"}'
\set keys '{"keys":[' :jwk ']}'
\set head 'eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6ImsifQ'
\set alice :head '.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYWxpY2UiLCJhdWQiOiJhcHAiLCJleHAiOjQxMDI0NDQ4MDB9.9Fq0V_x1SxdE2edBe_WDzTkLNVCXsajx1naKg7K62k9Ur4vWbKWLjq71ujHXESeT12N8quZCd-V1dTHPqyL1DQ'
\set bob :head '.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYm9iIiwiYXVkIjoiYXBwIiwiZXhwIjo0MTAyNDQ0ODAwfQ.r0AmyX-2p3aEmGVufqFE-_OvphbJNvHMZ6oWMtZ0YOL3EhA81wY-zXPV9PizPgbanp6tpsEJZtf0b2QnTTTnDw'
\set expired :head '.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYWxpY2UiLCJhdWQiOiJhcHAiLCJleHAiOjEwMDAwMDAwMDB9.VURs5r_BAGxeoIO4anmH5_kiUmryLkrrTJUti1G1bFuyGUkCUBklqet9rG5X8f4PZxaIBqRtSXJGGNg4DC6SCQ'

-- Nobody is believed at first
SET ROLE regress_frontend;
SELECT authenticate_app_user(:'alice') \g
\echo :LAST_ERROR_SQLSTATE

-- Registering: repeated it changes nothing, with other values it replaces
SET ROLE regress_admin;
SELECT register_issuer('https://issuer.example', jwks => :'keys', audiences => '{app}');
CREATE TEMP TABLE before AS SELECT issuer, created_at, updated_at FROM issuers;
SELECT register_issuer('https://issuer.example', jwks => :'keys', audiences => '{app}');
SELECT issuer, audiences, algorithms, app_user_template, clock_skew, jwks, jwks_uri, fetched_jwks, fetched_at,
	   i.updated_at = b.updated_at AS unchanged FROM issuers AS i JOIN before AS b USING (issuer);
SELECT register_issuer('https://issuer.example', jwks => :'keys', audiences => '{app,api}', algorithms => '{EdDSA,ES256,EdDSA}',
	app_user_template => 'a:{sub}', clock_skew => '1 minute');
SELECT audiences, algorithms, app_user_template, clock_skew, i.created_at = b.created_at AS same_creation,
	   i.updated_at > b.updated_at AS later FROM issuers AS i JOIN before AS b USING (issuer);
SELECT register_issuer('https://issuer.example', jwks => :'keys', audiences => '{app,api}', algorithms => '{ES256,EdDSA}',
	app_user_template => 'a:{sub}', clock_skew => '60 seconds');
-- without audiences whoever that issuer signed for is accepted: said, but done
SELECT register_issuer('https://open.example', jwks => :'jwk', app_user_template => 'open:{sub}');
SELECT register_issuer('https://open.example', jwks => :'jwk', app_user_template => 'open:{sub}');
SELECT delete_issuer('https://open.example');
SELECT delete_issuer('https://open.example');
-- keys that were fetched stay while their address does
SELECT register_issuer('https://fetched.example', jwks_uri => 'https://fetched.example/jwks', audiences => '{app}', app_user_template => 'fetched:{sub}');
RESET ROLE;
UPDATE issuers SET fetched_at = now() WHERE issuer = 'https://fetched.example';
SET ROLE regress_admin;
SELECT register_issuer('https://fetched.example', jwks_uri => 'https://fetched.example/jwks', audiences => '{api}', app_user_template => 'fetched:{sub}');
SELECT fetched_at IS NOT NULL AS kept FROM issuers WHERE issuer = 'https://fetched.example';
SELECT register_issuer('https://fetched.example', jwks_uri => 'https://fetched.example/other', audiences => '{api}', app_user_template => 'fetched:{sub}');
SELECT fetched_at IS NOT NULL OR fetched_jwks IS NOT NULL AS kept FROM issuers WHERE issuer = 'https://fetched.example';
SELECT delete_issuer('https://fetched.example');

-- What is refused
SELECT call, pg_temp.refusal(format('SELECT appuser_connectors.register_issuer(%s)', replace(call, 'KEYS', quote_literal(:'keys'))))
FROM unnest(ARRAY[
	$$NULL, jwks => KEYS$$,
	$$'', jwks => KEYS$$,
	$$repeat('x', 513), jwks => KEYS$$,
	$$'i'$$,
	$$'i', jwks => KEYS, jwks_uri => 'https://issuer.example/jwks'$$,
	$$'i', jwks => KEYS, hmac_key => 'file:gateway', algorithms => '{HS256}'$$,
	$$'i', jwks => KEYS, audiences => '{}'$$,
	$$'i', jwks => KEYS, audiences => '{NULL}'$$,
	$$'i', jwks => KEYS, audiences => '{""}'$$,
	$$'i', jwks => KEYS, algorithms => '{}'$$,
	$$'i', jwks => KEYS, algorithms => '{none}'$$,
	$$'i', jwks => KEYS, algorithms => '{es256}'$$,
	$$'i', jwks => KEYS, algorithms => '{ES256,HS256}'$$,
	$$'i', hmac_key => 'file:gateway', algorithms => '{HS256,RS256}'$$,
	$$'i', hmac_key => 'file:gateway'$$,
	$$'i', hmac_key => 'file:gateway', algorithms => '{HS256}'$$,
	$$'i', hmac_key => 'a secret of thirty-two bytes, or so', algorithms => '{HS256}'$$,
	$$'i', jwks => KEYS, app_user_template => NULL$$,
	$$'i', jwks => KEYS, app_user_template => ''$$,
	$$'i', jwks => KEYS, app_user_template => 'sub'$$,
	$$'i', jwks => KEYS, app_user_template => '{sub'$$,
	$$'i', jwks => KEYS, app_user_template => '{}'$$,
	$$'i', jwks => KEYS, app_user_template => '{org}{sub}'$$,
	$$'i', jwks => KEYS, app_user_template => '{sub}ü'$$,
	$$'i', jwks => KEYS, clock_skew => NULL$$,
	$$'i', jwks => KEYS, clock_skew => '-1 s'$$,
	$$'i', jwks => KEYS, clock_skew => '10 minutes 1 s'$$,
	$$'i', jwks => KEYS, clock_skew => '1 month -30 days'$$,
	$$'i', jwks_uri => 'http://issuer.example/jwks'$$,
	$$'i', jwks_uri => 'file:///etc/passwd'$$,
	$$'i', jwks_uri => 'https://me:too@issuer.example/jwks'$$,
	$$'i', jwks => '[]'$$,
	$$'i', jwks => '{}'$$,
	$$'i', jwks => '{"keys":{}}'$$,
	$$'i', jwks => '{"keys":[]}'$$,
	$$'i', jwks => '{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},1]}'$$,
	$$'i', jwks => '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}'$$,
	$$'i', jwks => '{"kty":"OKP","crv":"Ed25519","x":"x","d":"d"}'$$]) AS call;
SELECT pg_temp.refusal('SELECT appuser_connectors.delete_issuer(NULL)');
SELECT count(*) FROM issuers;

-- Authenticating
SET ROLE regress_frontend;
BEGIN;
SELECT authenticate_app_user(:'alice');
SELECT current_app_user();
SELECT authenticate_app_user(:'bob');
SELECT current_app_user();
SELECT pg_temp.refusal(format('SELECT appuser_connectors.authenticate_app_user(%L)', :'expired'));
SELECT pg_temp.refusal('SELECT appuser_connectors.authenticate_app_user(NULL)');
SELECT pg_temp.refusal(format('SELECT appuser_connectors.authenticate_app_user(%L, NULL)', :'alice'));
SELECT pg_temp.refusal(format('SELECT appuser_connectors.authenticate_app_user(%L, is_local => false)', :'alice'));
SELECT current_app_user();
COMMIT;
SELECT current_app_user();
SET ROLE regress_service;
BEGIN;
SELECT set_app_user('carol');
SELECT authenticate_app_user(:'alice');
SELECT current_app_user();
SELECT set_app_user('carol');
SELECT current_app_user();
COMMIT;
SET ROLE regress_nobody;
SELECT pg_temp.refusal(format('SELECT appuser_connectors.authenticate_app_user(%L)', :'alice'));

-- An issuer counts as it is now, also where one transaction changes it again and again
RESET ROLE;
BEGIN;
SELECT register_issuer('https://issuer.example', jwks => :'keys', audiences => '{app}');
SELECT authenticate_app_user(:'alice');
SELECT register_issuer('https://issuer.example', jwks => :'keys', audiences => '{other}');
SELECT pg_temp.refusal(format('SELECT appuser_connectors.authenticate_app_user(%L)', :'alice'));
ROLLBACK;
BEGIN;
SELECT authenticate_app_user(:'alice');
ROLLBACK;

-- Whoever cannot register issuers cannot write them either
SET ROLE regress_frontend;
SELECT pg_temp.refusal(s) FROM unnest(ARRAY[
	$$INSERT INTO appuser_connectors.issuers SELECT * FROM appuser_connectors.issuers$$,
	$$SELECT issuer FROM appuser_connectors.issuers$$,
	$$SELECT appuser_connectors.register_issuer('https://issuer.example', jwks => '{}')$$,
	$$SELECT appuser_connectors.delete_issuer('https://issuer.example')$$]) AS s;
SET ROLE regress_admin;
SELECT pg_temp.refusal(s) FROM unnest(ARRAY[
	$$UPDATE appuser_connectors.issuers SET audiences = NULL$$,
	$$DELETE FROM appuser_connectors.issuers$$,
	$$SELECT hmac_key FROM appuser_connectors.issuers$$]) AS s;

-- request.jwt.claims is nothing by itself, whatever is in it
RESET ROLE;
GRANT regress_service TO regress_frontend;
SET ROLE regress_frontend;
SET request.jwt.claims = '{"sub":"alice","role":"app"}';
SELECT current_app_user();
SET appuser_connectors.trust_request_jwt_claims = on;
-- where a superuser trusts it, its subject is the app user
RESET ROLE;
SET appuser_connectors.trust_request_jwt_claims = on;
SET ROLE regress_frontend;
SELECT current_app_user();
BEGIN;
SET LOCAL request.jwt.claims = '{"sub":"bob"}';
SELECT current_app_user();
COMMIT;
SELECT current_app_user();
-- one that is set goes first
BEGIN;
SELECT set_app_user('carol');
SELECT current_app_user();
SELECT authenticate_app_user(:'bob');
SELECT current_app_user();
COMMIT;
SELECT current_app_user();
-- and so does nobody, when it is set
BEGIN;
SELECT set_app_user(NULL);
SELECT current_app_user();
ROLLBACK;
-- anything else is nobody
DO $$
DECLARE
	claims text;
BEGIN
	FOREACH claims IN ARRAY ARRAY['', 'alice', '"alice"', '["alice"]', '{}', '{"sub":""}', '{"sub":null}', '{"sub":7}', '{"sub":["alice"]}',
		'{"sub":{"sub":"alice"}}', '{"sub":"alice"', '{"sub":"alice","sub":"bob"}', '{"sub":"ali\u0000ce"}', '{"Sub":"alice"}',
		'{"sub":"alice"} {}', format('{"sub":%s}', to_json(repeat('x', 513))), format('{"x":%s,"sub":"alice"}', to_json(repeat('x', 70000)))]
	LOOP
		PERFORM set_config('request.jwt.claims', claims, true);
		BEGIN
			RAISE WARNING '% is %', left(claims, 40), appuser_connectors.current_app_user();
		EXCEPTION WHEN invalid_authorization_specification THEN
			NULL;
		END;
	END LOOP;
END $$;
RESET request.jwt.claims;
SELECT current_app_user();
RESET ROLE;
REVOKE regress_service FROM regress_frontend;
RESET appuser_connectors.trust_request_jwt_claims;
SELECT delete_issuer('https://issuer.example');
-- issuers are configuration: a dump holds them
SELECT 'issuers'::regclass::oid = ANY (extconfig) AS dumped FROM pg_extension WHERE extname = 'appuser_connectors';
