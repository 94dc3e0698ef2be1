/*
 * exchange_outcome.h
 *	  What whoever called oauth_callback() is told of a flow.
 *
 * All of it in a transaction of the worker.
 */
#ifndef APPUSER_CONNECTORS_WORKER_EXCHANGE_OUTCOME_H
#define APPUSER_CONNECTORS_WORKER_EXCHANGE_OUTCOME_H

#include "store/authorization.h"
#include "worker/flight.h"

/* Not the one who began this flow, or no such flow: UC005.  Always false, as prepare's
 * result: there is nothing to send. */
extern bool exchange_refuse(Flight *flight, const char *why);
extern bool exchange_refuse_and_delete(Flight *flight, const char *why);

/* The flow failed without anything sent: a row with failure.  why is for the event, NULL:
 * nothing.  Always false. */
extern bool exchange_fail_at_once(Flight *flight, const char *failure, const char *why);

/*
 * The page was loaded again: the row of the first time, or of the exchange that is under
 * way when that has ended, for those who could have finished the flow.  Always false.
 */
extern bool exchange_repeat(Flight *flight, const Authorization *authorization);

/* The caller gets a row, which is not recorded; failure is NULL on success. */
extern void exchange_answer_with_row(Flight *flight, const char *failure);

/* The flow has come to its end, and the caller gets a row; a failure is an event.  Always
 * true, as apply's result. */
extern bool exchange_end_flow(Flight *flight, const char *failure);

#endif
