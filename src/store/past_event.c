/*
 * past_event.c
 *	  Looking back at connection_events, of all people: for admins only.
 */
#include "postgres.h"

#include "access/skey.h"
#include "access/stratnum.h"
#include "executor/tuptable.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "store/past_event.h"
#include "store/store.h"

/* Columns, in the order of the table */
enum
{
	ANUM_APP_USER = 1,
	ANUM_CONNECTOR_ID = 3,
	ANUM_CONNECTION_NAME = 4,
	ANUM_EVENT = 5,
	ANUM_DETAIL = 6,
	ANUM_OCCURRED_AT = 7
};

#define MAX_LOOKED_AT 1000 /* events of a connector, when its last failure is looked for */

typedef struct PastList
{
	const char *event;
	PastEvent *events;
	int count;
	int limit;
} PastList;

static bool
visit_event(TupleTableSlot *slot, void *arg)
{
	PastList *list = arg;
	char *name = slot_nullable_text(slot, ANUM_CONNECTION_NAME);

	if (name == NULL || strcmp(slot_text(slot, ANUM_EVENT), list->event) != 0)
		return true;
	list->events[list->count++] =
		(PastEvent){slot_text(slot, ANUM_APP_USER), slot_text(slot, ANUM_CONNECTOR_ID), name,
					slot_timestamp(slot, ANUM_OCCURRED_AT)};
	return list->count < list->limit;
}

PastEvent *
store_events_since(const char *event, TimestampTz since, int limit, int *count)
{
	ScanKeyData key;
	PastList list = {event, palloc(sizeof(PastEvent) * limit), 0, limit};

	ScanKeyInit(&key, 1, BTGreaterEqualStrategyNumber, F_TIMESTAMPTZ_GE,
				TimestampTzGetDatum(since));
	store_scan("connection_events", "connection_events_occurred_at", GetLatestSnapshot(), &key, 1,
			   visit_event, &list);
	*count = list.count;
	return list.events;
}

typedef struct FailureSearch
{
	LastFailure *failure;
	bool found;
	int looked_at;
	char *people[MAX_LOOKED_AT];
} FailureSearch;

static bool
is_one_of(const char *const *words, int n_words, const char *text, size_t length)
{
	for (int i = 0; i < n_words; i++)
		if (strlen(words[i]) == length && strncmp(words[i], text, length) == 0)
			return true;
	return false;
}

static bool
is_success(const char *event)
{
	return strcmp(event, "connected") == 0 || strcmp(event, "reconnected") == 0;
}

/* The connector is no longer what it was. */
static bool
is_change(const char *event)
{
	return strcmp(event, "connector_updated") == 0 || strcmp(event, "connector_resumed") == 0;
}

/*
 * A person who says no, at the provider or here, is no trouble of the connector's; and that
 * it is stopped was told with the cause when it was.
 */
static bool
is_failure(const char *event, const char *detail)
{
	static const char *const events[] = {"connect_failed",     "refresh_failing",
										 "reconnect_required", "connector_stopped",
										 "revocation_failed",  "invalid_id_token"};
	static const char *const others[] = {
		"access_denied",        "consent_required",           "login_required",
		"interaction_required", "account_selection_required", "connector_stopped"};
	size_t length = detail != NULL ? strcspn(detail, ":") : 0;

	if (!is_one_of(events, lengthof(events), event, strlen(event)))
		return false;
	if (strcmp(event, "reconnect_required") == 0 && length == strlen("invalid_grant") &&
		strncmp(detail, "invalid_grant", length) == 0)
		return false;
	return !is_one_of(others, lengthof(others), detail, length);
}

static void
count_person(FailureSearch *search, char *app_user)
{
	if (app_user[0] == '\0')
		return;
	for (int i = 0; i < search->failure->n_people; i++)
		if (strcmp(search->people[i], app_user) == 0)
			return;
	search->people[search->failure->n_people++] = app_user;
}

/* The newest first: the failure, then what was before */
static bool
visit_failure(TupleTableSlot *slot, void *arg)
{
	FailureSearch *search = arg;
	LastFailure *failure = search->failure;
	TimestampTz occurred_at = slot_timestamp(slot, ANUM_OCCURRED_AT);
	char *event = slot_text(slot, ANUM_EVENT);

	if (!search->found)
	{
		char *detail = slot_nullable_text(slot, ANUM_DETAIL);

		search->found = is_failure(event, detail);
		if (search->found)
		{
			failure->occurred_at = occurred_at;
			failure->event = event;
			failure->detail = detail;
		}
		else
			failure->is_over |= is_success(event) || is_change(event);
	}
	if (search->found)
	{
		failure->went_well_before |= is_success(event);
		if (occurred_at >= failure->occurred_at - USECS_PER_HOUR &&
			strcmp(event, failure->event) == 0)
			count_person(search, slot_text(slot, ANUM_APP_USER));
	}
	return ++search->looked_at < MAX_LOOKED_AT;
}

bool
store_last_failure(const char *connector_id, LastFailure *failure)
{
	ScanKeyData key;
	FailureSearch search = {.failure = failure};

	memset(failure, 0, sizeof(LastFailure));
	text_key(&key, 1, connector_id);
	store_scan_back("connection_events", "connection_events_connector", GetLatestSnapshot(), &key,
					1, visit_failure, &search);
	return search.found;
}
