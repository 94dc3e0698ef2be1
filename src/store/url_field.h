/*
 * url_field.h
 *	  Filling in the fields of connection_config that stand in a client's endpoints and
 *	  parameters ("{subdomain}"), and its client_id.
 *
 * A value counts only if it fits the field as it is declared now.
 */
#ifndef APPUSER_CONNECTORS_STORE_URL_FIELD_H
#define APPUSER_CONNECTORS_STORE_URL_FIELD_H

#include "utils/jsonb.h"

#include "oauth/client.h"

/* A URL (NULL is fine) with what is fixed filled in; the other fields stay. */
extern const char *url_field_fix(const OAuthClient *client, Jsonb *fixed, const char *url);

/*
 * A URL with all of its fields filled in, from a configuration and defaults, palloc'ed.
 * NULL: the field *lacking has no value, or none that can stand there.
 */
extern char *url_field_expand(const OAuthClient *client, Jsonb *config, const char *url,
							  const char **lacking);

/* The first of its fields from this source that would be lacking; NULL: none */
extern const char *url_field_lacking(const OAuthClient *client, Jsonb *config, ConfigSource source,
									 const char *url);

/*
 * The same for parameters, of which those are left out that lack a value, or that a value
 * would make a placeholder of.
 */
extern const NameValue *url_field_params(const OAuthClient *client, Jsonb *config,
										 const NameValue *params, int *count);

#endif
