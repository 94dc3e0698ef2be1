/*
 * adoption.h
 *	  Whether this database may call providers: whether its data is its own.
 */
#ifndef APPUSER_CONNECTORS_STORE_ADOPTION_H
#define APPUSER_CONNECTORS_STORE_ADOPTION_H

typedef enum InstallationState
{
	INSTALLATION_OURS,        /* this cluster, database and timeline */
	INSTALLATION_MISSING,     /* nothing was registered yet */
	INSTALLATION_COPY,        /* the data of another cluster, database or timeline, or altered */
	INSTALLATION_SWITCHED_OFF /* appuser_connectors.provider_calls is off */
} InstallationState;

/* Raises nothing for want of a key. */
extern InstallationState installation_state(void);

/* Makes the installation and the first data key, if there are none.  Raises UC008. */
extern void adoption_ensure(void);

/*
 * For the worker, at its start: takes over a new timeline that a standby's
 * promotion began, and logs where the data is a copy.  Raises UC008.
 */
extern void adoption_check(void);

/*
 * Says that the data is this database's from now on; false when it is already.  Raises
 * UC008 when there is none, or no key.  Not on a standby.
 */
extern bool adoption_adopt(void);

#endif
