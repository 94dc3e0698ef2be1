/*
 * circuit.h
 *	  Whether a connector's provider is to be called at all, and when again.
 */
#ifndef APPUSER_CONNECTORS_WORKER_CIRCUIT_H
#define APPUSER_CONNECTORS_WORKER_CIRCUIT_H

#include "utils/timestamp.h"

/* Jittered exponential backoff after so many failures in a row, in ms; not less than the
 * provider's Retry-After in seconds (-1: it did not say). */
extern int64 retry_delay(int failures, int retry_after);

/*
 * None of these needs a transaction or raises an error but for want of memory.  People
 * are known by their app user.
 */

/* Until when it is open, so that nothing is sent; any time in the past: it is not. */
extern TimestampTz circuit_open_until(const char *connector_id);

/* Has it been open, and no call succeeded since?  Then a few are tried at a time. */
extern bool circuit_is_half_open(const char *connector_id);

/* A call sent then brought nothing, and not because of what was sent */
extern void circuit_note_failure(const char *connector_id, const char *app_user,
								 TimestampTz sent_at);

/* The provider does answer: with a grant, or at least with the protocol's words that it
 * gives none. */
extern void circuit_note_success(const char *connector_id, const char *app_user);
extern void circuit_note_answer(const char *connector_id, const char *app_user);

/* The client was refused (invalid_client) for that person.  True when this is to stop the
 * connector. */
extern bool circuit_note_client_refusal(const char *connector_id, const char *app_user);

/* Is that person among those who were refused?  Then another is to try it. */
extern bool circuit_was_refused(const char *connector_id, const char *app_user);

/* The connector is not stopped, so an admin has resumed it. */
extern void circuit_note_resumed(const char *connector_id);

#endif
