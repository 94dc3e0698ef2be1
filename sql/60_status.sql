-- What an admin sees: every connector and connection, no secret.  The views run with
-- the caller's rights; column privileges and a policy of its own give the admin role
-- exactly these columns.

GRANT SELECT (connector_id, provider, name, client_id, scopes, redirect_uris, connection_config, options, definition,
			  created_at, updated_at, stopped_at, stopped_reason, probe_at, built_in, allowed_endpoints, former_endpoints)
	ON appuser_connectors.registered_connectors TO appuser_connectors_admin;
GRANT SELECT ON appuser_connectors.provider_catalogue TO appuser_connectors_admin;
GRANT SELECT (provider, definition, updated_at) ON appuser_connectors.registered_providers TO appuser_connectors_admin;
GRANT SELECT (app_user, connector_id, connection_name, status, status_reason, status_since, account, token_type,
			  scopes, requested_scopes, scopes_assumed, connected_at, updated_at, expires_at, refresh_at, failures, failing_since, reconnect_by)
	ON appuser_connectors.connections TO appuser_connectors_admin;
GRANT SELECT ON appuser_connectors.connection_events TO appuser_connectors_admin;

CREATE POLICY admin_sees_connectors ON appuser_connectors.registered_connectors
	FOR SELECT TO appuser_connectors_admin USING (true);
CREATE POLICY admin_sees_catalogue ON appuser_connectors.provider_catalogue
	FOR SELECT TO appuser_connectors_admin USING (true);
CREATE POLICY admin_sees_providers ON appuser_connectors.registered_providers
	FOR SELECT TO appuser_connectors_admin USING (true);
CREATE POLICY admin_sees_issuers ON appuser_connectors.issuers
	FOR SELECT TO appuser_connectors_admin USING (true);
CREATE POLICY admin_sees_status ON appuser_connectors.connections
	FOR SELECT TO appuser_connectors_admin USING (true);
CREATE POLICY admin_sees_events ON appuser_connectors.connection_events
	FOR SELECT TO appuser_connectors_admin USING (true);

CREATE VIEW appuser_connectors.providers
WITH (security_invoker = true)
AS
SELECT COALESCE(r.provider, c.provider) AS provider, COALESCE(r.definition OPERATOR(pg_catalog.->>) 'name', c.name, r.provider) AS name,
	   COALESCE(c.categories, '{}') AS categories, c.docs_url, r.provider IS NULL AS built_in,
	   CASE WHEN r.provider IS NULL THEN c.endpoint_sources OPERATOR(pg_catalog.>=) 2 END AS sources_agree,
	   CASE WHEN r.provider IS NULL THEN c.unverified END AS unverified,
	   CASE WHEN r.provider IS NULL THEN c.notes END AS notes,
	   CASE WHEN r.provider IS NULL THEN c.unsupported END AS unsupported,
	   COALESCE(r.definition, c.definition) AS definition, r.updated_at
FROM appuser_connectors.provider_catalogue AS c
	 FULL JOIN appuser_connectors.registered_providers AS r ON r.provider OPERATOR(pg_catalog.=) c.provider;
ALTER VIEW appuser_connectors.providers OWNER TO appuser_connectors_owner;
REVOKE ALL ON appuser_connectors.providers FROM PUBLIC, appuser_connectors_admin;
GRANT SELECT ON appuser_connectors.providers TO appuser_connectors_admin;
COMMENT ON VIEW appuser_connectors.providers IS
'What register_connector() takes as provider: definitions of one''s own, and those that came with the extension (built_in) where there is none of that name. sources_agree: at least two independent sources have these endpoints; unverified: what no source says; unsupported: why there is no definition.';

CREATE VIEW appuser_connectors.connectors
WITH (security_invoker = true)
AS
SELECT connector_id, provider, name, client_id, scopes, redirect_uris, connection_config, options, definition,
	   created_at, updated_at, stopped_at, stopped_reason, probe_at, built_in, allowed_endpoints, former_endpoints
FROM appuser_connectors.registered_connectors;
ALTER VIEW appuser_connectors.connectors OWNER TO appuser_connectors_owner;
REVOKE ALL ON appuser_connectors.connectors FROM PUBLIC, appuser_connectors_admin;
GRANT SELECT ON appuser_connectors.connectors TO appuser_connectors_admin;
COMMENT ON VIEW appuser_connectors.connectors IS
'What register_connector() and update_connector() were given, for the admin; no client secret.';

CREATE VIEW appuser_connectors.connection_status
WITH (security_invoker = true)
AS
SELECT c.app_user, c.connector_id, c.connection_name, n.provider, n.name,
	   CASE WHEN c.status OPERATOR(pg_catalog.=) 'reconnect_required' THEN c.status
			WHEN n.stopped_at IS NOT NULL THEN 'connector_stopped'
			WHEN c.failures OPERATOR(pg_catalog.>) 0 THEN 'failing'
			ELSE c.status END AS status,
	   CASE WHEN c.status OPERATOR(pg_catalog.=) 'reconnect_required' THEN c.status_reason
			ELSE COALESCE(n.stopped_reason, c.status_reason) END AS status_reason,
	   COALESCE(c.failing_since, c.status_since) AS status_since,
	   c.refresh_at AS next_attempt_at, c.failures, c.account, c.scopes,
	   -- as in app_user_connections()
	   ARRAY(SELECT s.scope FROM pg_catalog.unnest(
				 CASE WHEN n.scopes OPERATOR(pg_catalog.=) '{}'
					  THEN ARRAY(SELECT pg_catalog.jsonb_array_elements_text(pg_catalog.jsonb_path_query_array(n.definition, '$.default_scopes[*] ? (@.type() == "string")')))
					  ELSE n.scopes END
				 OPERATOR(pg_catalog.||) ARRAY(SELECT pg_catalog.jsonb_array_elements_text(pg_catalog.jsonb_path_query_array(n.definition, '$.required_scopes[*] ? (@.type() == "string")'))))
				 WITH ORDINALITY AS s(scope, place)
			 WHERE s.scope OPERATOR(pg_catalog.<>) ALL (c.scopes)
			   AND NOT (s.scope OPERATOR(pg_catalog.=) ANY (c.requested_scopes)
						AND s.scope OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT pg_catalog.jsonb_array_elements_text(pg_catalog.jsonb_path_query_array(n.definition, '$.unreturned_scopes[*] ? (@.type() == "string")')))))
			 GROUP BY s.scope ORDER BY pg_catalog.min(s.place)) AS missing_scopes, c.scopes_assumed,
	   c.connected_at, c.updated_at, c.expires_at,
	   CASE WHEN c.status OPERATOR(pg_catalog.=) 'connected' THEN c.reconnect_by END AS reconnect_by
FROM appuser_connectors.connections AS c
	 JOIN appuser_connectors.registered_connectors AS n ON n.connector_id OPERATOR(pg_catalog.=) c.connector_id;
ALTER VIEW appuser_connectors.connection_status OWNER TO appuser_connectors_owner;
REVOKE ALL ON appuser_connectors.connection_status FROM PUBLIC, appuser_connectors_admin;
GRANT SELECT ON appuser_connectors.connection_status TO appuser_connectors_admin;
COMMENT ON VIEW appuser_connectors.connection_status IS
'Every connection of every app user, for the admin: status as in app_user_connections(), since when, next try; no tokens.';

CREATE VIEW appuser_connectors.pg_stat_appuser_connectors
WITH (security_invoker = true)
AS
SELECT s.kind, s.calls, s.succeeded, s.refused, s.unavailable, s.total_time, s.in_flight,
	   CASE WHEN s.kind OPERATOR(pg_catalog.=) 'refresh' THEN b.due END AS due,
	   CASE WHEN s.kind OPERATOR(pg_catalog.=) 'refresh' THEN b.oldest_due END AS oldest_due
FROM appuser_connectors.provider_call_stats() AS s,
	 (SELECT pg_catalog.count(*) AS due, pg_catalog.min(c.refresh_at) AS oldest_due
	  FROM appuser_connectors.connections AS c
	  WHERE c.refresh_at OPERATOR(pg_catalog.<=) pg_catalog.now()) AS b;
ALTER VIEW appuser_connectors.pg_stat_appuser_connectors OWNER TO appuser_connectors_owner;
REVOKE ALL ON appuser_connectors.pg_stat_appuser_connectors FROM PUBLIC, appuser_connectors_admin;
GRANT SELECT ON appuser_connectors.pg_stat_appuser_connectors TO appuser_connectors_admin;
COMMENT ON VIEW appuser_connectors.pg_stat_appuser_connectors IS
'Calls to providers from this database since the server started: how many, how they ended, milliseconds, how many are under way; refreshes that are due and since when the oldest is.';
