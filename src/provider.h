/*
 * provider.h
 *	  The catalogue of providers: definitions as they are given and stored.
 */
#ifndef APPUSER_CONNECTORS_PROVIDER_H
#define APPUSER_CONNECTORS_PROVIDER_H

#include "utils/jsonb.h"

#include "definition.h"

/*
 * A definition or options for definition.h to read, palloc'ed; NULL for NULL and for
 * what is no object or beyond the tree's caps, as one that was edited by SQL may be.
 */
extern const JsonValue *provider_json(const Jsonb *object);

/* Raises 22023 with the list of known names, or what is wrong with a value. */
extern void provider_check_definition(const Jsonb *definition);

/* Raises 22023 unless options (NULL is fine) are a connector's options. */
extern void provider_check_options(const Jsonb *options);

#endif
