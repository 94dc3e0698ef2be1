/*
 * provider.h
 *	  A provider's definition: a JSON object with names of RFC 8414 metadata and
 *	  the extension's own.
 */
#ifndef APPUSER_CONNECTORS_PROVIDER_H
#define APPUSER_CONNECTORS_PROVIDER_H

#include "utils/jsonb.h"

#include "oauth_client.h"

/* Raises 22023 with the list of known names, or what is wrong with a value. */
extern void provider_check_definition(const Jsonb *definition);

/* Fills what a definition says about a client; strings are palloc'ed. */
extern void provider_read_definition(const Jsonb *definition, OAuthClient *client);

/* Raises 22023 unless options (NULL is fine) are a connector's options. */
extern void provider_check_options(const Jsonb *options);

/* Members of a definition or of options; NULL or the default when absent */
extern char *definition_text(const Jsonb *definition, const char *name);
extern bool definition_bool(const Jsonb *definition, const char *name, bool default_value);
extern int64 definition_int(const Jsonb *definition, const char *name, int64 default_value);
extern char **definition_texts(const Jsonb *definition, const char *name, int *count);
extern NameValue *definition_params(const Jsonb *definition, const char *name, int *count);

#endif
