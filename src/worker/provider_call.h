/*
 * provider_call.h
 *	  Handing work to the worker: a slot a backend in shared memory.
 */
#ifndef APPUSER_CONNECTORS_WORKER_PROVIDER_CALL_H
#define APPUSER_CONNECTORS_WORKER_PROVIDER_CALL_H

#include "lib/stringinfo.h"

#define CALL_PAYLOAD_SIZE 8192
#define CALL_MESSAGE_SIZE 512

typedef enum ProviderCallKind
{
	CALL_EXCHANGE, /* an authorization code */
	CALL_REFRESH,
	CALL_KEYS /* of an identity issuer */
} ProviderCallKind;

typedef enum ProviderCallOutcome
{
	CALL_SUCCEEDED,
	CALL_CONNECTION_NOT_FOUND,
	CALL_RECONNECT_REQUIRED,
	CALL_PROVIDER_UNAVAILABLE,
	CALL_TOO_OFTEN, /* a token that lives was renewed as often as may be */
	CALL_CONNECTOR_MISCONFIGURED,
	CALL_AUTHORIZATION_REFUSED, /* unknown, used, expired or another person's state */
	CALL_COPY_HELD,
	CALL_KEY_UNAVAILABLE,
	CALL_WORKER_NOT_RUNNING,
	CALL_WORKER_ENDED, /* while it had this call */
	CALL_NOT_STARTED,  /* the same, and it had not come to it: provider_call asks the next one */
	CALL_FAILED        /* an error in the worker; see the server log */
} ProviderCallOutcome;

/* Who waits for a call's answer */
typedef struct ProviderCallWaiter
{
	int slot;
	uint32 epoch;
} ProviderCallWaiter;

extern Size provider_call_shmem_size(void);
extern void provider_call_shmem_init(void);

/* Raises UC007 without the library preloaded, or on a standby: no call can be made. */
extern void provider_call_require_primary(void);

/*
 * Hands a call over and waits, interruptibly, for at most wait_timeout.  The
 * answer's payload replaces the contents of record.  message (a buffer of
 * CALL_MESSAGE_SIZE) gets what there is to say to a person.  Raises UC003 at the
 * deadline, UC007 on a standby or without a worker.
 */
extern ProviderCallOutcome provider_call(ProviderCallKind kind, StringInfo record, char *message);

/*
 * For the worker: the next call submitted in this database, whose payload is
 * put into record (and is gone from shared memory).
 */
extern bool provider_call_take(ProviderCallKind *kind, StringInfo record,
							   ProviderCallWaiter *waiter);

/* Answers one; nothing happens if its caller has gone.  record may be NULL. */
extern void provider_call_answer(ProviderCallWaiter waiter, ProviderCallOutcome outcome,
								 const char *message, StringInfo record);

/*
 * Whether a call that was taken has begun, which its caller is told who waits no longer: one
 * that has not will not.  False: its caller has gone, and was told what held until then.
 */
extern bool provider_call_set_begun(ProviderCallWaiter waiter, bool begun);

/* Answers every call of a database, taken or not. */
extern void provider_call_fail_all(Oid database, ProviderCallOutcome outcome);

#endif
