/*
 * store_connector.h
 *	  Statements on providers and connectors.
 */
#ifndef APPUSER_CONNECTORS_STORE_CONNECTOR_H
#define APPUSER_CONNECTORS_STORE_CONNECTOR_H

#include "connector.h"

extern void store_put_provider(const char *provider, const Jsonb *definition, TimestampTz now);

/* NULL when there is none */
extern Jsonb *store_get_provider(const char *provider);

/* The stored columns only; NULL when there is none. */
extern Connector *store_get_connector(const char *connector_id);

/* False: there is one with that id. */
extern bool store_insert_connector(const Connector *connector, TimestampTz now);

/* Writes every column, and ends a stop. */
extern void store_update_connector(const Connector *connector, TimestampTz now);

/* Keeps the worker from adding connections until this transaction ends. */
/* To be read after: who else changes or deletes it has then finished. */
extern void store_lock_connector_for_change(const char *connector_id, bool deletes);

extern bool store_delete_connector(const char *connector_id);

/* The ids of all connectors, for the worker's search of what is due */
extern char **store_connector_ids(int *count);

/* Stops a connector, or (reason NULL) lets it go on. */
extern void store_stop_connector(const char *connector_id, const char *reason, TimestampTz now,
								 TimestampTz probe_at);

#endif
