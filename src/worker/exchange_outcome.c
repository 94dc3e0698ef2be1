/*
 * exchange_outcome.c
 *	  What whoever called oauth_callback() is told of a flow: that it is not theirs to
 *	  finish, or a row; and what is kept of that for whoever loads the page again.
 */
#include "postgres.h"

#include "base/record.h"
#include "store/authorization.h"
#include "store/authorization_secret.h"
#include "store/event.h"
#include "worker/callback.h"
#include "worker/exchange_details.h"
#include "worker/exchange_outcome.h"
#include "worker/rate.h"

/* connect_failed, of one app user at one connector */
#define MAX_EVENTS 100
#define EVENTS_PERIOD (60 * 60 * 1000) /* ms */

static void end_authorization(const Flight *flight, const char *failure);

bool
exchange_refuse(Flight *flight, const char *why)
{
	flight_fail(flight, CALL_AUTHORIZATION_REFUSED, "%s", why);
	return false;
}

bool
exchange_refuse_and_delete(Flight *flight, const char *why)
{
	const ExchangeDetails *details = flight->details;

	(void) store_delete_authorization(flight->app_user, details->callback.state_hash);
	return exchange_refuse(flight, why);
}

/* The flow was found and failed: a row with failure, and an event. */
static void
fail(Flight *flight, const char *failure)
{
	const ExchangeDetails *details = flight->details;
	const char *detail = details->why != NULL ? psprintf("%s: %s", failure, details->why) : failure;
	int n = rate_count("connect_failed", flight->app_user, flight->connector_id, "", EVENTS_PERIOD,
					   GetCurrentTimestamp());

	exchange_answer_with_row(flight, failure);
	/* anybody can end as many flows so as they like, and events are kept for long */
	if (n == MAX_EVENTS)
		detail = psprintf("%s (more of this app user here are not recorded for an hour)", detail);
	if (n <= MAX_EVENTS)
		event_record(flight->app_user, flight->connector_id, flight->connection_name,
					 "connect_failed", detail);
}

bool
exchange_fail_at_once(Flight *flight, const char *failure, const char *why)
{
	((ExchangeDetails *) flight->details)->why = why;
	end_authorization(flight, failure);
	fail(flight, failure);
	return false;
}

void
exchange_answer_with_row(Flight *flight, const char *failure)
{
	const ExchangeDetails *details = flight->details;
	MemoryContext old = MemoryContextSwitchTo(flight->context);

	flight->outcome = CALL_SUCCEEDED;
	flight->told = failure == NULL                                ? STATS_SUCCEEDED
				   : strcmp(failure, "provider_unavailable") == 0 ? STATS_UNAVAILABLE
																  : STATS_REFUSED;
	flight->answer = makeStringInfo();
	record_put_text(flight->answer, flight->connector_id);
	record_put_text(flight->answer, flight->app_user);
	record_put_text(flight->answer, flight->connection_name);
	record_put_text(flight->answer, details->return_to);
	record_put_text(flight->answer, failure);
	MemoryContextSwitchTo(old);
}

/* The flight that has this flow's code, or NULL; one that another worker has left is not told */
static Flight *
find_first(const Flight *again, const uint8 *state_hash)
{
	dlist_iter iter;

	dlist_foreach (iter, flight_list_near(again->app_user))
	{
		Flight *flight = dlist_container(Flight, app_user_node, iter.cur);
		const ExchangeDetails *details = flight->details;

		if (flight->kind == again->kind && strcmp(flight->app_user, again->app_user) == 0 &&
			details->flow != NULL &&
			memcmp(details->callback.state_hash, state_hash, PG_SHA256_DIGEST_LENGTH) == 0)
			return flight;
	}
	return NULL;
}

bool
exchange_repeat(Flight *flight, const Authorization *authorization)
{
	ExchangeDetails *details = flight->details;
	const Callback *callback = &details->callback;
	Flight *first =
		authorization->sealed_outcome == NULL ? find_first(flight, callback->state_hash) : NULL;
	const char *why;
	char *failure;

	if (first != NULL)
	{
		why = callback_objection(callback, ((ExchangeDetails *) first->details)->flow);
		if (why != NULL)
			return exchange_refuse(flight, why);
		for (int i = 0; i < flight->n_waiters; i++)
			flight_add_waiter(first, flight->waiters[i]);
		flight->n_waiters = 0;
		return false;
	}
	if (!callback_may_see_outcome(callback, authorization, &failure, &why))
		return exchange_refuse(flight, why);
	details->return_to = authorization->return_to;
	flight_set_connection(flight, authorization->connector_id, authorization->connection_name);
	exchange_answer_with_row(flight, failure);
	return false;
}

/* The flow has come to its end; its outcome is kept for whoever loads the page again. */
static void
end_authorization(const Flight *flight, const char *failure)
{
	const ExchangeDetails *details = flight->details;

	if (details->flow == NULL)
	{
		/* another worker's: its row is no longer known to be what it was */
		(void) store_delete_authorization(flight->app_user, details->callback.state_hash);
		return;
	}
	authorization_seal_outcome(details->flow, failure);
	store_end_authorization(details->flow,
							GetCurrentTimestamp() + OUTCOME_PERIOD * INT64CONST(1000));
}

bool
exchange_end_flow(Flight *flight, const char *failure)
{
	end_authorization(flight, failure);
	if (failure != NULL)
		fail(flight, failure);
	else
		exchange_answer_with_row(flight, NULL);
	return true;
}
