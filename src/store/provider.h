/*
 * provider.h
 *	  The catalogue of providers: definitions as they are given and stored.
 */
#ifndef APPUSER_CONNECTORS_STORE_PROVIDER_H
#define APPUSER_CONNECTORS_STORE_PROVIDER_H

#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "oauth/definition.h"

#define MAX_PROVIDER_NAME 100 /* bytes */

/*
 * A definition or options for definition.h to read, palloc'ed; NULL for NULL and for
 * what is no object or beyond the tree's caps, as one that was edited by SQL may be.
 */
extern const JsonValue *provider_json(const Jsonb *object);

/* Raises 22023 with the list of known names, or what is wrong with a value. */
extern void provider_check_definition(const Jsonb *definition);

/* Raises 22023 unless options (NULL is fine) are a connector's options. */
extern void provider_check_options(const Jsonb *options);

/*
 * Inserts or replaces what register_provider() was given; it goes before what the
 * extension itself has under that name.  True: another definition was in force.
 */
extern bool store_put_provider(const char *provider, const Jsonb *definition, TimestampTz now);

/* False: register_provider() was given none. */
extern bool store_delete_provider(const char *provider);

/*
 * The definition in force; *built_in: it came with the extension.  NULL when there is none:
 * *unsupported says why, if the extension knows the provider.  Raises UC004 for one that
 * was edited by SQL.
 */
extern Jsonb *store_get_provider(const char *provider, bool *built_in, char **unsupported);

typedef struct OlderCopy
{
	char *connector_id;
	char *provider;
	bool built_in; /* from one that came with the extension to a newer one */
	char *members; /* that differ, as a list */
} OlderCopy;

/* Connectors whose copy is not the definition in force, sorted. */
extern OlderCopy *store_older_copies(int *count);

#endif
