/*
 * outbox.h
 *	  Statements on pending_answers, revocations and connection_events.
 */
#ifndef APPUSER_CONNECTORS_STORE_OUTBOX_H
#define APPUSER_CONNECTORS_STORE_OUTBOX_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "store/due_mark.h"
#include "store/store.h"

/* A row to come back to, in either table */
typedef struct OutboxKey
{
	char *app_user;
	pg_uuid_t id;
} OutboxKey;

extern void store_insert_pending_answer(const char *app_user, const pg_uuid_t *id,
										const bytea *sealed, TimestampTz now);
extern bytea *store_get_pending_answer(const char *app_user, const pg_uuid_t *id);
extern void store_delete_pending_answer(const char *app_user, const pg_uuid_t *id);
extern OutboxKey *store_pending_answers(int *count);

typedef struct Revocation
{
	const char *app_user;
	pg_uuid_t id;
	char *connector_id;
	char *connection_name; /* NULL: of a person who was erased */
	char *account;         /* NULL: unknown */
	char *account_issuer;
	pg_uuid_t grant_id;
	bytea *sealed_tokens;
	int attempts;
	TimestampTz created_at;
} Revocation;

extern void store_insert_revocation(const Revocation *revocation);
extern bool store_get_revocation(Revocation *revocation);

/* Locks it without waiting, and reads it as it is then. */
extern LockResult store_lock_revocation(Revocation *revocation);

/* Of what is still to be revoked of an app user, events shall name nobody. */
extern void store_forget_name(const char *app_user);
extern void store_delete_revocation(const char *app_user, const pg_uuid_t *id);
/* Neither reads the row, which may be unreadable, nor waits for who holds it. */
extern void store_put_off_revocation(const char *app_user, const pg_uuid_t *id,
									 TimestampTz attempt_at);
extern void store_postpone_revocation(const char *app_user, const pg_uuid_t *id, int attempts,
									  TimestampTz attempt_at);

/*
 * The connectors that have revocations, as it was when the calling process looked last:
 * it does again no later than after a minute.  In memory that lasts until the next call.
 */
extern char **store_connectors_with_revocations(int *count);

/* Up to limit revocations of a connector due now, all as
 * in store_due_connections */
typedef DueVerdict (*RevocationVerdict)(const OutboxKey *key, const char *connector_id);
extern OutboxKey *store_due_revocations(const char *connector_id, TimestampTz now, int limit,
										RevocationVerdict verdict, int *count,
										TimestampTz *next_due);

extern void store_insert_event(const char *app_user, const pg_uuid_t *id, const char *connector_id,
							   const char *connection_name, const char *event, const char *detail,
							   TimestampTz now, bool announced);
extern bool store_event_exists(const char *app_user, const char *connector_id,
							   const char *connection_name, const char *event, const char *detail,
							   TimestampTz since);

extern void store_delete_events(const char *app_user);

/* Deletes events older than that, at most limit; true: there are more. */
extern bool store_trim_events(TimestampTz before, int limit);

/* Events that callers wrote and nobody was told of yet; marks them told. */
extern OutboxKey *store_take_unannounced_events(int limit, int *count);

#endif
