/*
 * revocation.c
 *	  The outbox of tokens to revoke at their provider (RFC 7009).
 *
 * Tokens come in with the transaction that removed their connection, sealed with
 * all that is needed to revoke them after the connector is gone; the worker sends
 * them after that committed, the refresh token first, and gives up after a limit
 * with an event.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "base/record.h"
#include "base/secret.h"
#include "base/settings.h"
#include "base/url.h"
#include "oauth/echo.h"
#include "oauth/url_template.h"
#include "store/adoption.h"
#include "store/connection.h"
#include "store/connection_token.h"
#include "store/connector.h"
#include "store/connector_endpoint.h"
#include "store/event.h"
#include "store/installation.h"
#include "store/keyring.h"
#include "store/outbox.h"
#include "store/store.h"
#include "worker/circuit.h"
#include "worker/client_record.h"
#include "worker/diagnosis.h"
#include "worker/flight.h"
#include "worker/revocation.h"
#include "worker/roster.h"

#define MAX_ATTEMPTS 12                   /* about a day, with the backoff of refreshes */
#define UNREADABLE_DELAY (60 * 60 * 1000) /* ms */

/* An access token that expired is refused like one that was revoked. */
#define DEAD_TOKEN_GRANT                                                                           \
	"the provider revokes by the access token, which was dead already: what its refresh token "    \
	"can do may live on"

typedef struct RevocationDetails
{
	Revocation row;
	bool refresh_token_next; /* the first of the two requests */
	bool refresh_revoked; /* the grant is ended: what becomes of its access token is no failure */
	char *access_token;
	char *refresh_token;
	RevocationOutcome revoked;
	bool was_dead;        /* by which a wrong URL may show as well: the event says so */
	const char *why;      /* it was not, for the event */
	const char *why_bare; /* the same without words that may be about a person */
} RevocationDetails;

/* Of this transaction, whichever call of it; one that a subtransaction took back wakes in vain. */
static bool wake_at_commit = false;

static void
wake_worker(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && wake_at_commit)
		roster_wake_worker(MyDatabaseId);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		wake_at_commit = false;
}

static StringInfo
revocation_aad(const Revocation *row)
{
	StringInfo aad = makeStringInfo();

	record_put_text(aad, "revocation");
	record_put_bytes(aad, installation_id(), sizeof(pg_uuid_t));
	record_put_text(aad, row->app_user);
	record_put_bytes(aad, &row->id, sizeof(pg_uuid_t));
	/* which decide whether it is sent; a name is taken from it, at erasure, and is not bound */
	record_put_text(aad, row->connector_id);
	record_put_text(aad, row->account);
	record_put_text(aad, row->account_issuer);
	record_put_bytes(aad, &row->grant_id, sizeof(pg_uuid_t));
	return aad;
}

/* refresh_revoked: what is queued is the rest of a grant that is ended. */
static bool
queue_tokens(const Connector *connector, const Connection *connection, const char *access_token,
			 const char *refresh_token, bool refresh_revoked)
{
	static bool registered = false;
	Revocation row = {.app_user = connection->app_user,
					  .connector_id = connector->connector_id,
					  .connection_name = unconstify(char *, connection->connection_name),
					  .account = connection->account,
					  .account_issuer = connection->account_issuer,
					  .grant_id = connection->grant_id,
					  .created_at = GetCurrentTimestamp()};
	const char *endpoint = connector_revocation_endpoint(connector, connection->connection_config);
	StringInfoData record;

	if (endpoint == NULL)
		return false;
	random_uuid(&row.id);
	record_init(&record, 2 * MAX_TOKEN_BYTES + MAX_CLIENT_RECORD);
	client_record_put(&record, connector, endpoint, connection->connection_config);
	record_put_text(&record, access_token);
	record_put_text(&record, refresh_token);
	record_put_int(&record, refresh_revoked);
	row.sealed_tokens = keyring_seal(revocation_aad(&row), record.data, record.len);
	secret_cleanse(record.data, record.len);
	pfree(record.data);
	store_insert_revocation(&row);

	if (!registered)
	{
		RegisterXactCallback(wake_worker, NULL);
		registered = true;
	}
	wake_at_commit = true;
	return true;
}

bool
revocation_queue(const Connector *connector, const Connection *connection, const char *access_token,
				 const char *refresh_token)
{
	return queue_tokens(connector, connection, access_token, refresh_token, false);
}

void
revocation_queue_deleted(Connector *connector, const Connection *deleted, const char *event)
{
	char *access_token = connection_open_access_token(deleted);
	char *refresh_token =
		deleted->refresh_token != NULL ? connection_open_refresh_token(deleted) : NULL;
	const char *detail = NULL;
	Connection revoked = *deleted;

	if (event == NULL)
		revoked.connection_name = NULL;
	if (access_token == NULL)
		detail = "not revoked: the stored tokens cannot be opened";
	else if (!connector_open(connector) ||
			 !connector_receives(connector, deleted->endpoints, deleted->connection_config))
		detail = "not revoked: the connector's endpoints have changed";
	else if (!revocation_queue(connector, &revoked, access_token, refresh_token))
		detail = "not revoked: the provider has no revocation endpoint";
	if (event == NULL)
		event_record("", deleted->connector_id, NULL, "erased", detail);
	else
		event_record(deleted->app_user, deleted->connector_id, deleted->connection_name, event,
					 detail);
}

/* Not while its app user has as much under way there as one may have, and it is not of it */
static DueVerdict
is_its_turn(const OutboxKey *key, const char *connector_id)
{
	char id[2 * UUID_LEN + 1] = {0};
	const Flight *flight;

	hex_encode((const char *) &key->id, UUID_LEN, id);
	flight = flight_find(&revocation_flight, key->app_user, connector_id, id);
	if (flight != NULL && (flight->state == FLIGHT_HELD || flight->state == FLIGHT_WAITING))
		return DUE_HELD;
	return flight == NULL && flight_app_user_is_busy(key->app_user, connector_id) ? DUE_LEAVE
																				  : DUE_TAKE;
}

static void
start_revocation(const char *connector_id, const OutboxKey *key)
{
	Flight *flight;
	RevocationDetails *details;
	char id[2 * UUID_LEN + 1] = {0};

	/* the id makes the flight's key, so that one is not taken twice */
	hex_encode((const char *) &key->id, UUID_LEN, id);
	if (flight_find(&revocation_flight, key->app_user, connector_id, id) != NULL)
		return;
	flight = flight_create(&revocation_flight, key->app_user, connector_id, id);
	details = MemoryContextAllocZero(flight->context, sizeof(RevocationDetails));
	details->row.app_user = flight->app_user;
	details->row.id = key->id;
	flight->details = details;
}

/*
 * Each connector has a share of its own, so that a provider that does not answer
 * is in no other's way; half of what may be under way there is left for those who
 * wait for a token.
 */
TimestampTz
revocation_start_due(void)
{
	int share = Max(guc_max_concurrent_requests_per_connector / 2, 1);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int n_connectors;
	char **connectors;

	if (installation_state() != INSTALLATION_OURS)
		return DT_NOEND;
	connectors = store_connectors_with_revocations(&n_connectors);
	for (int i = 0; i < n_connectors; i++)
	{
		const char *connector_id = connectors[i];
		int count;
		TimestampTz next_due;
		OutboxKey *keys =
			store_due_revocations(connector_id, now, share, is_its_turn, &count, &next_due);

		if (count > 0)
			keyring_check();
		/* those under way are due as well, the oldest: there are never more of them */
		for (int j = 0; j < count; j++)
			if (is_its_turn(&keys[j], connector_id) == DUE_TAKE)
				start_revocation(connector_id, &keys[j]);
		next = Min(next, next_due);
	}
	return next;
}

/* The row is locked. */
static void
finish(const Revocation *row, const char *event, const char *detail)
{
	store_delete_revocation(row->app_user, &row->id);
	event_record(row->connection_name != NULL ? row->app_user : "", row->connector_id,
				 row->connection_name, event, detail);
}

/* Before anything is sent; while somebody holds the row it stays due, with row_held. */
static void
finish_unsent(Flight *flight, const char *event, const char *detail)
{
	Revocation *row = &((RevocationDetails *) flight->details)->row;
	LockResult lock = store_lock_revocation(row);

	flight->row_held = lock == LOCK_HELD;
	if (lock == LOCK_TAKEN)
		finish(row, event, detail);
}

static bool
same_client(const OAuthClient *a, const OAuthClient *b)
{
	char *origin = a->revocation_endpoint != NULL ? url_origin(a->revocation_endpoint) : NULL;
	char *other = b->revocation_endpoint != NULL ? url_origin(b->revocation_endpoint) : NULL;

	if (strcmp(a->client_id, b->client_id) != 0)
		return false;
	/* each connection has its own: it may be this one */
	if (a->revocation_endpoint != NULL && url_is_template(a->revocation_endpoint))
		return true;
	return origin != NULL && other != NULL && strcmp(origin, other) == 0;
}

/*
 * At many providers revoking one token ends the whole grant of that account and
 * client, which another connection may live on, at whatever connector.  Where the
 * account is unknown, one that has come since in this one's place is most likely of
 * the same.
 */
static bool
is_shared(const Revocation *row, const OAuthClient *client)
{
	Connection connection;
	int count;
	char **connectors;

	if (row->account == NULL)
		return row->connection_name != NULL &&
			   store_read_connection(row->app_user, row->connector_id, row->connection_name,
									 GetLatestSnapshot(), &connection) &&
			   !connection.reconnect_required &&
			   memcmp(&connection.grant_id, &row->grant_id, sizeof(pg_uuid_t)) != 0;
	connectors = store_connector_ids(&count);
	for (int i = 0; i < count; i++)
	{
		const Connector *connector;

		if (strcmp(connectors[i], row->connector_id) != 0)
		{
			connector = connector_find(connectors[i]);
			if (connector == NULL || !same_client(&connector->client, client))
				continue;
		}
		if (store_account_is_shared(connectors[i], row->account, row->account_issuer,
									&row->grant_id))
			return true;
	}
	return false;
}

static bool
revocation_prepare(Flight *flight)
{
	RevocationDetails *details = flight->details;
	Revocation *row = &details->row;
	Connector *connector = palloc0(sizeof(Connector));
	StringInfoData record = {0};
	const char *token;

	if (!store_get_revocation(row))
		return false;
	record.data = keyring_open(revocation_aad(row), row->sealed_tokens, &record.len);
	if (record.data == NULL)
	{
		finish_unsent(flight, "revocation_failed", "the stored tokens cannot be opened");
		return false;
	}
	connector->connector_id = row->connector_id;
	client_record_get(&record, connector);
	details->access_token = record_get_text(&record);
	details->refresh_token = record_get_text(&record);
	details->refresh_revoked = record_get_int(&record) != 0;
	flight->connector = connector;

	if (connector->revocation_ends_grant && is_shared(row, &connector->client))
	{
		finish_unsent(flight, "revocation_skipped",
					  "another connection holds the same account through this client");
		return false;
	}

	details->refresh_token_next = details->refresh_token != NULL &&
								  connector->client.revocation.tokens != REVOKED_ACCESS_TOKEN;
	token = details->refresh_token_next ? details->refresh_token : details->access_token;
	if (token == NULL || (!details->refresh_token_next &&
						  connector->client.revocation.tokens == REVOKED_REFRESH_TOKEN))
	{
		finish_unsent(flight, "revocation_failed",
					  token == NULL
						  ? "there is no token to revoke"
						  : "the provider revokes refresh tokens only, and there is none");
		return false;
	}
	build_revocation_request(&connector->client, token,
							 details->refresh_token_next ? "refresh_token" : "access_token",
							 &flight->request);
	return true;
}

/* What the provider says may repeat what it was sent. */
static void
mask_sent(const RevocationDetails *details, const OAuthClient *client, char *said)
{
	const char *const sent[] = {details->refresh_token, details->access_token};

	echo_mask(said, sent, lengthof(sent));
	echo_mask_client(said, client);
}

/*
 * The refresh token goes first, and ends the grant.  RFC 7009 §2.1 leaves it open
 * whether that ends the access token as well, so that goes next; where it did, servers
 * answer anything, though §2.2 has 200.
 */
static bool
revocation_answered(Flight *flight, const HttpResponse *response)
{
	RevocationDetails *details = flight->details;
	const OAuthClient *client = &flight->connector->client;
	char error[MAX_ERROR_CODE + 1] = "";
	char description[MAX_ERROR_DESCRIPTION + 1] = "";

	if (response->outcome == HTTP_ANSWERED)
		details->revoked = classify_revocation_response(client, response->status, response->body,
														response->body_len, error, description);
	else
		details->revoked =
			response->outcome == HTTP_FORBIDDEN ? REVOCATION_REFUSED : REVOCATION_RETRY;
	mask_sent(details, client, error);
	mask_sent(details, client, description);
	if (details->revoked == REVOCATION_DEAD)
	{
		bool grant_may_live = !details->refresh_token_next && !details->refresh_revoked &&
							  details->refresh_token != NULL;

		details->why = details->why_bare =
			grant_may_live ? DEAD_TOKEN_GRANT : "the provider knew no such token";
		details->revoked = grant_may_live ? REVOCATION_REFUSED : REVOCATION_DONE;
		details->was_dead = client->revocation.is_own;
	}
	else
	{
		details->why = diagnose_revocation(client, response, error, description);
		details->why_bare = diagnose_revocation(client, response, error, NULL);
	}
	if (details->refresh_revoked && details->revoked == REVOCATION_REFUSED)
		details->revoked = REVOCATION_DONE;
	if (!details->refresh_token_next || details->revoked != REVOCATION_DONE)
		return false;

	details->refresh_token_next = false;
	details->refresh_revoked = true;
	if (details->access_token == NULL || client->revocation.tokens == REVOKED_REFRESH_TOKEN)
		return false;
	build_revocation_request(client, details->access_token, "access_token", &flight->request);
	return true;
}

static bool
revocation_apply(Flight *flight)
{
	RevocationDetails *details = flight->details;
	Revocation locked = details->row;
	Revocation *row = &locked;
	LockResult lock = store_lock_revocation(row);
	int attempts;

	if (lock != LOCK_TAKEN)
		return lock == LOCK_MISSING;
	flight->outcome = details->revoked == REVOCATION_DONE    ? CALL_SUCCEEDED
					  : details->revoked == REVOCATION_RETRY ? CALL_PROVIDER_UNAVAILABLE
															 : CALL_CONNECTOR_MISCONFIGURED;
	/* what this server could not send is no attempt */
	attempts = row->attempts + (flight->local_trouble ? 0 : 1);
	if (details->revoked == REVOCATION_RETRY && details->refresh_revoked &&
		details->refresh_token != NULL)
	{
		/* half of it is done, and not to be done again */
		Connection connection = {.app_user = row->app_user,
								 .connection_name = row->connection_name,
								 .account = row->account,
								 .account_issuer = row->account_issuer,
								 .grant_id = row->grant_id};

		(void) queue_tokens(flight->connector, &connection, details->access_token, NULL, true);
		store_delete_revocation(row->app_user, &row->id);
	}
	else if (details->revoked == REVOCATION_RETRY && attempts < MAX_ATTEMPTS)
	{
		store_postpone_revocation(
			row->app_user, &row->id, attempts,
			TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
										retry_delay(Max(attempts, 1), flight->retry_after) << 3));
	}
	else if (details->revoked == REVOCATION_DONE)
		finish(row, "revoked", details->was_dead ? details->why : NULL);
	else
	{
		const char *why = row->connection_name != NULL ? details->why : details->why_bare;

		/* of what is dead already servers say anything, see above */
		if (details->revoked == REVOCATION_REFUSED &&
			(row->attempts > 0 || row->created_at < MyStartTimestamp))
			why = psprintf("%s; an earlier attempt may have revoked it", why);
		finish(row, "revocation_failed", why);
	}
	return true;
}

/* The key it is sealed under may come back, or the row be mended; until then it waits. */
static void
revocation_put_off(Flight *flight)
{
	RevocationDetails *details = flight->details;

	store_put_off_revocation(details->row.app_user, &details->row.id,
							 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), UNREADABLE_DELAY));
}

const FlightKind revocation_flight = {"revocation",
									  STATS_REVOCATION,
									  revocation_prepare,
									  revocation_answered,
									  revocation_apply,
									  NULL,
									  NULL,
									  revocation_put_off};
