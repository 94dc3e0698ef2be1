-- What the playground's database holds: the extension, a role of each kind, and two connectors at the
-- test provider, whose client has the id demo-app.  PROVIDER_DEFINITION and REDIRECT_URI are variables
-- of the environment.  For psql 15 or later.
\getenv definition PROVIDER_DEFINITION
\getenv redirect_uri REDIRECT_URI
CREATE EXTENSION appuser_connectors;
CREATE ROLE app_admin LOGIN IN ROLE appuser_connectors_admin;          -- registers OAuth clients
CREATE ROLE app_backend LOGIN IN ROLE appuser_connectors_service;      -- reads tokens
CREATE ROLE app_frontend LOGIN IN ROLE appuser_connectors_user;        -- connects, lists, reads none
SET ROLE app_admin;
SELECT appuser_connectors.register_provider('acme', :'definition');
SELECT appuser_connectors.register_connector('acme', client_id => 'demo-app', client_secret => 'demo-secret',
	scopes => '{openid,email,read}', redirect_uris => ARRAY[:'redirect_uri'], connector_id => 'acme-files', name => 'Acme Files');
SELECT appuser_connectors.register_connector('acme', client_id => 'demo-app', client_secret => 'demo-secret',
	scopes => '{openid,email}', redirect_uris => ARRAY[:'redirect_uri'], connector_id => 'acme-mail', name => 'Acme Mail');
