/*
 * refusal.h
 *	  Whether a refusal in a provider's own words means that one grant is dead, or that
 *	  the provider has a bad day.
 */
#ifndef APPUSER_CONNECTORS_WORKER_REFUSAL_H
#define APPUSER_CONNECTORS_WORKER_REFUSAL_H

#include "store/connection.h"

typedef enum RefusalVerdict
{
	REFUSAL_DOUBTED,   /* as far as is known, the provider's trouble */
	REFUSAL_CONFIRMED, /* since the one before, somebody else's grant was renewed well */
	REFUSAL_LASTING    /* for a day, and of nobody else: it is this grant */
} RefusalVerdict;

/* Somebody's grant was renewed. */
extern void refusal_note_grant(const Connection *connection);

/*
 * What this refusal of a connection, as it was before it, comes to.  In a transaction; to
 * be asked once for each refusal, since the next one is judged by when this one was.
 */
extern RefusalVerdict refusal_judge(const Connection *connection);

#endif
