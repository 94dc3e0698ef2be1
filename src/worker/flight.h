/*
 * flight.h
 *	  One call to a provider on its way through the worker.
 *
 *	  NEW --prepare--> READY --> SENT --answered--> ANSWERED --apply--> finished
 *	   \--> WAITING --prepare--/                        \--> HELD --apply--/
 *
 * prepare and apply run in transactions of the worker; between them there is
 * none.  WAITING: somebody has locked what prepare needs; nothing was sent, and it is
 * prepared again.  HELD: somebody holds the row, the answer is in pending_answers and is
 * applied as soon as possible.
 */
#ifndef APPUSER_CONNECTORS_WORKER_FLIGHT_H
#define APPUSER_CONNECTORS_WORKER_FLIGHT_H

#include "lib/ilist.h"
#include "lib/stringinfo.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "http/http.h"
#include "oauth/request.h"
#include "oauth/response.h"
#include "store/connector.h"
#include "worker/provider_call.h"
#include "worker/stats.h"

typedef enum FlightState
{
	FLIGHT_NEW,
	FLIGHT_WAITING,
	FLIGHT_READY,
	FLIGHT_SENT,
	FLIGHT_ANSWERED,
	FLIGHT_HELD,
	FLIGHT_STATES
} FlightState;

#define FLIGHT_PROBES 4 /* of a connector at a time, while its circuit is half open */

typedef struct Flight Flight;
typedef struct FlightCounts FlightCounts;

/* Whose flights are counted together */
typedef enum FlightScope
{
	OF_CONNECTOR,
	OF_APP_USER,
	OF_APP_USER_AT_CONNECTOR,
	FLIGHT_SCOPES
} FlightScope;

/* What the kinds of calls do differently */
typedef struct FlightKind
{
	const char *name;
	StatsKind stats_kind;

	/* In a transaction: reads what is needed and builds the request.  False: there is
	 * nothing to send, and outcome says why; with row_held it is tried again.  Called again
	 * in the same way after an error that rolled back what it did. */
	bool (*prepare)(Flight *flight);

	/* Outside any transaction; must not fail; http_outcome and local_trouble are set.  True:
	 * request is another one to send; if it is_optional what was answered is saved before. */
	bool (*answered)(Flight *flight, const HttpResponse *response);

	/* In a transaction: stores what was answered.  False: the row is held. */
	bool (*apply)(Flight *flight);

	/* Sealed into pending_answers while held, and back */
	void (*save)(Flight *flight, StringInfo record);
	void (*load)(Flight *flight, StringInfo record);

	/* In a transaction: what prepare could not open is not due again for long. */
	void (*put_off)(Flight *flight);

	/* While the circuit is half open only a few of a connector are sent at a time. */
	bool heeds_circuit;
} FlightKind;

struct Flight
{
	dlist_node node;
	dlist_node app_user_node;
	FlightCounts *counts[FLIGHT_SCOPES];
	const FlightKind *kind;
	FlightState state;
	bool called;           /* by a backend, so that until its turn comes it is in the queue */
	MemoryContext context; /* everything of this flight, itself included */
	void *details;         /* of the kind */

	const char *app_user;
	const char *connector_id;
	const char *connection_name;

	Connector *connector; /* open, from prepare on */
	OAuthRequest request;
	TimestampTz first_sent_at; /* 0: not yet */
	TimestampTz sent_at;
	TimestampTz answered_at;
	HttpOutcome http_outcome;
	bool local_trouble; /* this machine, not the provider, is to blame for it */
	TokenResponse tokens;
	char problem[CALL_MESSAGE_SIZE]; /* what went wrong with the call */
	int retry_after;                 /* seconds; -1: the provider did not say */
	int error;                       /* SQLSTATE of a step that failed */

	/* what its callers are told when it is finished */
	ProviderCallOutcome outcome;
	StatsResult told; /* for statistics: what was told if outcome is CALL_SUCCEEDED */
	char message[CALL_MESSAGE_SIZE];
	StringInfo answer;
	ProviderCallWaiter *waiters;
	int n_waiters;

	/* WAITING */
	int tries;    /* that prepare was kept from what it needs */
	bool goes_on; /* somebody who did not wait any longer was told so */
	TimestampTz prepare_at;
	MemoryContext retry_context; /* of the last try, when it was not the first */

	/* HELD */
	bool is_failure; /* no answer that must not be lost; its callers are not kept waiting */
	bool row_held;   /* set by prepare, or by apply for a failure */
	bool saved;
	bool outdated; /* what is saved lacks what was answered since */
	bool loaded;   /* from pending_answers, by another worker's saving */
	pg_uuid_t answer_id;
	TimestampTz apply_at;
};

/* What the worker does with them; these two need no transaction and may raise errors
 * only for want of memory. */

/* One that nobody has called for */
extern Flight *flight_create(const FlightKind *kind, const char *app_user, const char *connector_id,
							 const char *connection_name);

/*
 * One for a caller, who waits for it.  NULL: there is no room in the queue, and the
 * caller was told so.
 */
extern Flight *flight_accept(const FlightKind *kind, const char *app_user, const char *connector_id,
							 const char *connection_name, ProviderCallWaiter waiter);

extern void flight_add_waiter(Flight *flight, ProviderCallWaiter waiter);
extern void flight_fail(Flight *flight, ProviderCallOutcome outcome, const char *format, ...)
	pg_attribute_printf(3, 4);

/* All there are, the oldest first */
extern dlist_head *flight_list(void);

/* A few, by app_user_node, among which are all of that app user */
extern dlist_head *flight_list_near(const char *app_user);

/* For flight.c, which creates and finishes them */
extern void flight_list_add(Flight *flight);
extern void flight_list_remove(Flight *flight);

/*
 * Why the queue has no room for one more call; NULL: it has.  What a connector may have of
 * it is as much as the others leave free, so that one whose provider does not answer
 * never fills it for the rest.
 */
extern const char *flight_queue_is_full(const char *app_user, const char *connector_id);

/* May it be sent, with so many others that are about to be? */
extern bool flight_has_room(const Flight *flight, int starting);

/* In a transaction: seals an answer that cannot be applied now into pending_answers. */
extern void flight_save_answer(Flight *flight);

/* The only ways to change these, since flights are counted by them */
extern void flight_set_state(Flight *flight, FlightState state);
extern void flight_set_connection(Flight *flight, const char *connector_id,
								  const char *connection_name);

/* The one under way for this connection, or NULL */
extern Flight *flight_find(const FlightKind *kind, const char *app_user, const char *connector_id,
						   const char *connection_name);
/* How many of a connector are under way but for those of callers whose turn has not come,
 * and how many wait for a row */
extern int flight_count_unqueued(const char *connector_id, int *held);

/* How many of the same connector, app user or both are sent, or about to be */
extern int flight_count_sent(const Flight *flight, FlightScope scope);

/* The same of those that heed the circuit alone */
extern int flight_count_probes(const Flight *flight, FlightScope scope);

/* How many there are, in whatever state */
extern int flight_count_of_app_user(const char *app_user);
extern int flight_count_at_connector(const char *app_user, const char *connector_id);

/* Has the app user as many there as may be sent at once of what nobody waits for? */
extern bool flight_app_user_is_busy(const char *app_user, const char *connector_id);

/* How many callers' flights wait for their turn, at a connector or (NULL) at all */
extern int flight_count_queued(const char *connector_id);

/* One turn: prepare, send, collect, apply, answer.  True when something was done. */
extern bool flights_turn(void);

/* In the last turn something could not even be prepared: not again at once. */
extern bool flights_failed(void);

/* How long until a held answer is tried again; -1: there is none */
extern long flights_timeout(void);

/*
 * The worker ends: nothing new is sent from now on.  Whoever waits for what was not
 * sent yet is told so.
 */
extern void flights_stop(void);

/* How many answers are on their way, that ending now would lose */
extern int flights_in_air(void);

/*
 * Reads pending_answers, when the worker starts, of these kinds of calls; may be
 * repeated if it fails.
 */
extern void flights_load_pending(const FlightKind *const *kinds, int n_kinds);

/* Fields of a granted token response, as a flight is saved with; config: of its connection */
extern void flight_put_tokens(StringInfo record, const Flight *flight, Jsonb *config);
extern void flight_get_tokens(StringInfo record, Flight *flight);

/* A configuration in such a record; NULL is fine. */
extern void flight_put_jsonb(StringInfo record, const Jsonb *value);
extern Jsonb *flight_get_jsonb(StringInfo record);

#endif
