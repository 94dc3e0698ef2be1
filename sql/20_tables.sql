-- Storage.  Tables belong to appuser_connectors_owner, so that forced row security
-- binds the extension's own statements as well.  Keys begin with the app user
-- where a row belongs to one; text keys are COLLATE "C".

CREATE TABLE appuser_connectors.installation (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	installation_id uuid NOT NULL,
	system_identifier bigint NOT NULL,
	database_oid oid NOT NULL,
	timeline integer NOT NULL,
	adopted_at timestamptz NOT NULL,
	seal bytea NOT NULL
);
COMMENT ON TABLE appuser_connectors.installation IS
'Whose data this is: made at first use. Where it does not match this cluster, database and timeline, the database is a copy and nothing is sent to any provider.';

CREATE TABLE appuser_connectors.installation_witness (
	singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
	installation_id uuid NOT NULL,
	adopted_at timestamptz NOT NULL
);
COMMENT ON TABLE appuser_connectors.installation_witness IS
'That the data was not brought here by a dump, which leaves this table out, or by COPY: without its row the database is a copy, until adopt_installation().';

CREATE TABLE appuser_connectors.encryption_keys (
	key_id integer PRIMARY KEY,
	state text COLLATE "C" NOT NULL CHECK (state IN ('active', 'retired')),
	wrapped_key bytea NOT NULL,
	created_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX encryption_keys_active ON appuser_connectors.encryption_keys (state) WHERE state = 'active';
ALTER TABLE appuser_connectors.installation ALTER COLUMN seal SET STATISTICS 0;
ALTER TABLE appuser_connectors.encryption_keys ALTER COLUMN wrapped_key SET STATISTICS 0;
COMMENT ON COLUMN appuser_connectors.installation.seal IS
'Authenticates the row under the data key: where it does not hold, the database counts as a copy.';
COMMENT ON TABLE appuser_connectors.encryption_keys IS
'Data keys, each sealed under the root key, which is not in the database.';

-- No dump has it: CREATE EXTENSION brings it, and each update its own.
CREATE TABLE appuser_connectors.provider_catalogue (
	provider text COLLATE "C" PRIMARY KEY,
	name text NOT NULL,
	categories text[] NOT NULL,
	docs_url text,
	endpoint_sources integer,
	unverified text[] NOT NULL DEFAULT '{}',
	notes text[] NOT NULL DEFAULT '{}',
	definition jsonb,
	unsupported text,
	CHECK ((definition IS NULL) = (unsupported IS NOT NULL))
);
COMMENT ON TABLE appuser_connectors.provider_catalogue IS
'OAuth 2.0 providers that the extension knows, with definitions that connectors copy when they are registered.';
COMMENT ON COLUMN appuser_connectors.provider_catalogue.endpoint_sources IS
'How many independent sources have these endpoints.';
COMMENT ON COLUMN appuser_connectors.provider_catalogue.unverified IS
'Members of the definition, and facts behind it, that no source says.';
COMMENT ON COLUMN appuser_connectors.provider_catalogue.unsupported IS
'Why there is no definition.';

CREATE TABLE appuser_connectors.registered_providers (
	provider text COLLATE "C" PRIMARY KEY,
	definition jsonb NOT NULL,
	updated_at timestamptz NOT NULL,
	seal bytea NOT NULL
);
ALTER TABLE appuser_connectors.registered_providers ALTER COLUMN seal SET STATISTICS 0;
COMMENT ON COLUMN appuser_connectors.registered_providers.seal IS
'Authenticates the row under the data key.';
COMMENT ON TABLE appuser_connectors.registered_providers IS
'Definitions that register_provider() was given; one goes before that of the catalogue of the same name.';

CREATE TABLE appuser_connectors.registered_connectors (
	connector_id text COLLATE "C" PRIMARY KEY,
	provider text COLLATE "C" NOT NULL,
	name text NOT NULL,
	client_id text COLLATE "C" NOT NULL,
	client_secret bytea NOT NULL,
	scopes text[] NOT NULL,
	redirect_uris text[] NOT NULL,
	connection_config jsonb,
	options jsonb,
	definition jsonb NOT NULL,
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	stopped_at timestamptz,
	stopped_reason text,
	probe_at timestamptz,
	built_in boolean NOT NULL DEFAULT false,
	allowed_endpoints text COLLATE "C",
	former_endpoints text[] NOT NULL DEFAULT '{}'
);
ALTER TABLE appuser_connectors.registered_connectors ALTER COLUMN client_secret SET STATISTICS 0;
COMMENT ON TABLE appuser_connectors.registered_connectors IS
'OAuth clients that the application registered at providers, each with its own copy of the provider''s definition. Edit with update_connector(): an edit by SQL stops the connector.';

CREATE TABLE appuser_connectors.connections (
	app_user text COLLATE "C" NOT NULL,
	connector_id text COLLATE "C" NOT NULL,
	connection_name text COLLATE "C" NOT NULL,
	grant_id uuid NOT NULL,
	generation bigint NOT NULL,
	status text COLLATE "C" NOT NULL CHECK (status IN ('connected', 'reconnect_required')),
	status_reason text,
	status_since timestamptz NOT NULL,
	account text COLLATE "C",
	account_issuer text COLLATE "C",
	token_type text NOT NULL,
	scopes text[] NOT NULL,
	requested_scopes text[] NOT NULL,
	connection_config jsonb,
	connected_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	expires_at timestamptz,
	refresh_at timestamptz,
	failures integer NOT NULL,
	failing_since timestamptz,
	refusals integer NOT NULL,
	endpoints text COLLATE "C" NOT NULL,
	access_token bytea NOT NULL,
	refresh_token bytea,
	scopes_assumed boolean NOT NULL DEFAULT false,
	reconnect_by timestamptz,
	remind_at timestamptz,
	account_name text,
	PRIMARY KEY (app_user, connector_id, connection_name)
) WITH (toast_tuple_target = 8160);
CREATE INDEX connections_due ON appuser_connectors.connections (connector_id, refresh_at)
	WHERE refresh_at IS NOT NULL;
-- Partial, so that no statement about one connection can be planned with it.
CREATE INDEX connections_account ON appuser_connectors.connections (connector_id, account)
	WHERE account IS NOT NULL;
CREATE INDEX connections_reminders ON appuser_connectors.connections (remind_at)
	WHERE remind_at IS NOT NULL;
ALTER TABLE appuser_connectors.connections ALTER COLUMN access_token SET STATISTICS 0;
ALTER TABLE appuser_connectors.connections ALTER COLUMN refresh_token SET STATISTICS 0;
ALTER TABLE appuser_connectors.connections ALTER COLUMN account_name SET STATISTICS 0;
COMMENT ON COLUMN appuser_connectors.registered_connectors.built_in IS
'Its definition is one that came with the extension.';
COMMENT ON COLUMN appuser_connectors.registered_connectors.allowed_endpoints IS
'Token, revocation, refresh and long-token endpoint that the next update_connector() may move it to without the client secret; by allow_endpoint_change().';
COMMENT ON COLUMN appuser_connectors.registered_connectors.former_endpoints IS
'Token and revocation endpoints whose connections go on at the present ones, since no admin chose these.';
COMMENT ON TABLE appuser_connectors.connections IS
'One row a connection of an app user; tokens are sealed with the whole key, grant and generation as associated data.';
COMMENT ON COLUMN appuser_connectors.connections.refresh_at IS
'When the worker will try next; NULL when there is nothing to do.';
COMMENT ON COLUMN appuser_connectors.connections.reconnect_by IS
'When the grant ends for all that is known, however often it is renewed until then; NULL: it is not known to end.';
COMMENT ON COLUMN appuser_connectors.connections.remind_at IS
'When the event reconnect_soon is due; NULL: it has been, or there is none.';
COMMENT ON COLUMN appuser_connectors.connections.account_name IS
'What people know the account by, an e-mail address or a name, as the provider gives it: for pages, and nothing is decided by it.';
COMMENT ON COLUMN appuser_connectors.connections.account_issuer IS
'Whose account it is: the iss of the ID token, since a subject is unique at its issuer only; or profile: and the origin of the URL that named it.';
COMMENT ON COLUMN appuser_connectors.connections.scopes_assumed IS
'The provider has not said which scopes it granted, so that they are taken to be those requested (RFC 6749 §5.1).';
COMMENT ON COLUMN appuser_connectors.connections.endpoints IS
'The token and revocation endpoint, whole URLs, that these tokens may be sent to.';

CREATE TABLE appuser_connectors.authorizations (
	app_user text COLLATE "C" NOT NULL,
	state_hash bytea NOT NULL,
	connector_id text COLLATE "C" NOT NULL,
	connection_name text COLLATE "C" NOT NULL,
	redirect_uri text NOT NULL,
	return_to text,
	scopes text[] NOT NULL,
	connection_config jsonb,
	binding_hash bytea,
	sealed_secrets bytea NOT NULL,
	consumed boolean NOT NULL DEFAULT false,
	sealed_outcome bytea,
	created_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL,
	PRIMARY KEY (app_user, state_hash)
);
CREATE INDEX authorizations_expires_at ON appuser_connectors.authorizations (expires_at);
ALTER TABLE appuser_connectors.authorizations ALTER COLUMN sealed_secrets SET STATISTICS 0;
ALTER TABLE appuser_connectors.authorizations ALTER COLUMN sealed_outcome SET STATISTICS 0;
ALTER TABLE appuser_connectors.authorizations ALTER COLUMN state_hash SET STATISTICS 0;
ALTER TABLE appuser_connectors.authorizations ALTER COLUMN binding_hash SET STATISTICS 0;
COMMENT ON TABLE appuser_connectors.authorizations IS
'Authorization flows under way: written by connect_app_user(), consumed once by the worker.';
COMMENT ON COLUMN appuser_connectors.authorizations.consumed IS
'Its state has been used, and its code may be on its way until there is an outcome. Whoever deletes the row meanwhile (disconnect_app_user(), erase_app_user()) has the worker throw away what comes.';
COMMENT ON COLUMN appuser_connectors.authorizations.sealed_outcome IS
'What became of it and when, for the person who loads the page of the callback again; NULL: it has not come to its end.';

CREATE TABLE appuser_connectors.pending_answers (
	app_user text COLLATE "C" NOT NULL,
	answer_id uuid NOT NULL,
	sealed_answer bytea NOT NULL,
	received_at timestamptz NOT NULL,
	PRIMARY KEY (app_user, answer_id)
);
ALTER TABLE appuser_connectors.pending_answers ALTER COLUMN sealed_answer SET STATISTICS 0;
COMMENT ON TABLE appuser_connectors.pending_answers IS
'Answers of providers that could not be applied at once because another transaction holds the row; applied as soon as it ends.';

CREATE TABLE appuser_connectors.revocations (
	app_user text COLLATE "C" NOT NULL,
	revocation_id uuid NOT NULL,
	connector_id text COLLATE "C" NOT NULL,
	connection_name text COLLATE "C",
	account text COLLATE "C",
	account_issuer text COLLATE "C",
	grant_id uuid NOT NULL,
	sealed_tokens bytea NOT NULL,
	attempts integer NOT NULL,
	created_at timestamptz NOT NULL,
	attempt_at timestamptz NOT NULL,
	PRIMARY KEY (app_user, revocation_id)
);
CREATE INDEX revocations_due ON appuser_connectors.revocations (connector_id, attempt_at);
ALTER TABLE appuser_connectors.revocations ALTER COLUMN sealed_tokens SET STATISTICS 0;
COMMENT ON TABLE appuser_connectors.revocations IS
'Outbox of tokens to revoke at their provider, with all that is needed to do so after the connector is gone.';
COMMENT ON COLUMN appuser_connectors.revocations.connection_name IS
'NULL: the person was erased, or may have been, so events of this revocation name nobody.';

CREATE TABLE appuser_connectors.connection_events (
	app_user text COLLATE "C" NOT NULL,
	event_id uuid NOT NULL,
	connector_id text COLLATE "C" NOT NULL,
	connection_name text COLLATE "C",
	event text COLLATE "C" NOT NULL,
	detail text,
	occurred_at timestamptz NOT NULL,
	announced boolean NOT NULL,
	PRIMARY KEY (app_user, event_id)
);
CREATE INDEX connection_events_unannounced ON appuser_connectors.connection_events (occurred_at)
	WHERE NOT announced;
CREATE INDEX connection_events_occurred_at ON appuser_connectors.connection_events (occurred_at);
CREATE INDEX connection_events_connector ON appuser_connectors.connection_events (connector_id, occurred_at);
COMMENT ON TABLE appuser_connectors.connection_events IS
'What happened to whom, without secrets. app_user is empty for what concerns a whole connector. Kept for appuser_connectors.event_retention.';

CREATE TABLE appuser_connectors.issuers (
	issuer text COLLATE "C" PRIMARY KEY,
	audiences text[],
	algorithms text[] NOT NULL,
	app_user_template text NOT NULL,
	clock_skew interval NOT NULL CHECK (clock_skew BETWEEN '0' AND '10 minutes'),
	jwks jsonb,
	jwks_uri text COLLATE "C",
	hmac_key text COLLATE "C" CHECK (hmac_key LIKE 'file:%'),
	fetched_jwks text COLLATE "C",
	fetched_at timestamptz,
	token_types text[],
	created_at timestamptz NOT NULL,
	updated_at timestamptz NOT NULL,
	seal bytea NOT NULL,
	CHECK (num_nonnulls(jwks, jwks_uri, hmac_key) = 1)
);
ALTER TABLE appuser_connectors.issuers ALTER COLUMN seal SET STATISTICS 0;
COMMENT ON TABLE appuser_connectors.issuers IS
'Whose JWTs authenticate_app_user() accepts, and how. Edit with register_issuer() and delete_issuer().';
COMMENT ON COLUMN appuser_connectors.issuers.audiences IS
'What the aud claim must be or hold one of; NULL: not checked.';
COMMENT ON COLUMN appuser_connectors.issuers.token_types IS
'What the typ header may say; NULL: JWT (which a token without one is) and at+jwt.';
COMMENT ON COLUMN appuser_connectors.issuers.hmac_key IS
'Reference to the file with the key, never the key.';
COMMENT ON COLUMN appuser_connectors.issuers.seal IS
'Authenticates the row under the data key, all but fetched_at, created_at and updated_at; new with every write.';
COMMENT ON COLUMN appuser_connectors.issuers.fetched_jwks IS
'What jwks_uri answered at fetched_at, in its own bytes.';

DO $$
DECLARE
	table_name pg_catalog.text;
BEGIN
	FOREACH table_name IN ARRAY ARRAY['installation', 'installation_witness', 'encryption_keys', 'provider_catalogue', 'registered_providers', 'registered_connectors', 'connections',
									  'authorizations', 'pending_answers', 'revocations', 'connection_events', 'issuers']
	LOOP
		EXECUTE pg_catalog.format('ALTER TABLE appuser_connectors.%I OWNER TO appuser_connectors_owner', table_name);
		EXECUTE pg_catalog.format('REVOKE ALL ON TABLE appuser_connectors.%I FROM PUBLIC, appuser_connectors_admin', table_name);
		-- also against roles that may read or write every table (pg_write_all_data)
		EXECUTE pg_catalog.format('ALTER TABLE appuser_connectors.%I ENABLE ROW LEVEL SECURITY', table_name);
		EXECUTE pg_catalog.format('ALTER TABLE appuser_connectors.%I FORCE ROW LEVEL SECURITY', table_name);
	END LOOP;

	FOREACH table_name IN ARRAY ARRAY['installation', 'installation_witness', 'encryption_keys', 'provider_catalogue', 'registered_providers', 'registered_connectors', 'issuers']
	LOOP
		EXECUTE pg_catalog.format('CREATE POLICY of_everybody ON appuser_connectors.%I TO appuser_connectors_owner '
			'USING (true) WITH CHECK (true)', table_name);
	END LOOP;

	FOREACH table_name IN ARRAY ARRAY['connections', 'authorizations', 'pending_answers', 'revocations', 'connection_events']
	LOOP
		EXECUTE pg_catalog.format(
			'CREATE POLICY own_rows ON appuser_connectors.%I TO appuser_connectors_owner '
			'USING (app_user OPERATOR(pg_catalog.=) appuser_connectors.session_app_user()) '
			'WITH CHECK (app_user OPERATOR(pg_catalog.=) appuser_connectors.session_app_user())', table_name);
	END LOOP;
END
$$;

-- A restore, whole or of one table, brings back refresh tokens that were spent since.  No foreign keys
-- between these tables either: an archive has no order of their data, and a parallel restore would fail.
-- For each row: a statement that brings none, or whose rows row security refuses, must stop nothing.
CREATE FUNCTION appuser_connectors.note_restored_rows()
RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'note_restored_rows';
COMMENT ON FUNCTION appuser_connectors.note_restored_rows() IS
'Makes the database a copy, until adopt_installation(), when rows are inserted by others than the extension: by a restore or COPY.';

CREATE TRIGGER note_restored_rows BEFORE INSERT ON appuser_connectors.installation
	FOR EACH ROW EXECUTE FUNCTION appuser_connectors.note_restored_rows();
CREATE TRIGGER note_restored_rows BEFORE INSERT ON appuser_connectors.connections
	FOR EACH ROW EXECUTE FUNCTION appuser_connectors.note_restored_rows();
CREATE TRIGGER note_restored_rows BEFORE INSERT ON appuser_connectors.pending_answers
	FOR EACH ROW EXECUTE FUNCTION appuser_connectors.note_restored_rows();
ALTER TABLE appuser_connectors.installation ENABLE ALWAYS TRIGGER note_restored_rows;
ALTER TABLE appuser_connectors.connections ENABLE ALWAYS TRIGGER note_restored_rows;
ALTER TABLE appuser_connectors.pending_answers ENABLE ALWAYS TRIGGER note_restored_rows;

SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.installation', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.encryption_keys', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.registered_providers', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.registered_connectors', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.connections', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.authorizations', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.pending_answers', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.revocations', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.connection_events', '');
SELECT pg_catalog.pg_extension_config_dump('appuser_connectors.issuers', '');
