/*
 * rate.h
 *	  How often something happened for one person lately.
 */
#ifndef APPUSER_CONNECTORS_WORKER_RATE_H
#define APPUSER_CONNECTORS_WORKER_RATE_H

#include "datatype/timestamp.h"

/*
 * Of what (a name of ours), for an app user at a connector, and (may be empty) under a
 * name there: how often in the last period (ms) before now.  rate_count counts one more,
 * itself included.  Neither needs a transaction, raises an error or allocates memory.
 */
extern int rate_of(const char *what, const char *app_user, const char *connector_id,
				   const char *connection_name, int period, TimestampTz now);
extern int rate_count(const char *what, const char *app_user, const char *connector_id,
					  const char *connection_name, int period, TimestampTz now);

#endif
