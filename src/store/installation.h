/*
 * installation.h
 *	  Whose data this database holds.
 */
#ifndef APPUSER_CONNECTORS_STORE_INSTALLATION_H
#define APPUSER_CONNECTORS_STORE_INSTALLATION_H

#include "utils/uuid.h"

typedef enum InstallationState
{
	INSTALLATION_OURS,        /* this cluster, database and timeline */
	INSTALLATION_MISSING,     /* nothing was registered yet */
	INSTALLATION_COPY,        /* the data of another cluster, database or timeline */
	INSTALLATION_SWITCHED_OFF /* appuser_connectors.provider_calls is off */
} InstallationState;

/* The id that is part of all associated data; raises UC008 when missing. */
extern const pg_uuid_t *installation_id(void);

/* Reads it anew next time: what it was used for did not open. */
extern void installation_forget(void);

/* Makes the row if there is none: at first use, not by CREATE EXTENSION. */
extern void installation_ensure(void);

extern InstallationState installation_state(void);

/*
 * For the worker, at its start: takes over a new timeline that a standby's
 * promotion began, and logs where the data is a copy.
 */
extern void installation_check(void);

/*
 * Says that the data is this database's from now on; false when it is already.  Raises
 * UC008 when there is none.  Not on a standby.
 */
extern bool installation_adopt(void);

#endif
