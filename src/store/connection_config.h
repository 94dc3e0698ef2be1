/*
 * connection_config.h
 *	  What an API's URL needs besides the token: which fields of it are declared, and
 *	  whose word counts for each.
 */
#ifndef APPUSER_CONNECTORS_STORE_CONNECTION_CONFIG_H
#define APPUSER_CONNECTORS_STORE_CONNECTION_CONFIG_H

#include "utils/jsonb.h"

#include "oauth/client.h"

#define MAX_CONFIG_VALUE 1024 /* bytes */

/*
 * Raises 22023 for a pattern that cannot be used: one that is no regular expression, or
 * that has back references or lookaround, whose matching can take any time.
 */
extern void config_check_patterns(const ConfigField *fields, int n_fields);

/* Raises 22023 unless what an admin gives for declared fields fits them. */
extern void config_check_fixed(const OAuthClient *client, Jsonb *fixed);

/*
 * What a flow begins with: defaults, over them what the app user gives, over both what
 * the admin has fixed.  Raises 22023, naming the field, for one that is not the app
 * user's to give, or that the admin has fixed otherwise, or that does not fit.
 */
extern Jsonb *config_begin(const OAuthClient *client, Jsonb *fixed, Jsonb *given);

/* Does a value that came with a callback or token response fit?  Raises nothing but a cancel. */
extern bool config_value_fits(const ConfigField *field, const char *value);

/* The text that a configuration (NULL: none) gives a field; NULL: none */
extern char *config_text(Jsonb *config, const char *name);

/* The field of that name; NULL when none is declared */
extern const ConfigField *config_find_field(const OAuthClient *client, const char *name);

/* The field of that name and source; NULL when none is declared */
extern const ConfigField *config_field(const OAuthClient *client, const char *name,
									   ConfigSource source);

/* The one that this parameter of a callback gives; NULL: none */
extern const ConfigField *config_callback_field(const OAuthClient *client, const char *parameter);

/* {} with values over what is there (NULL: nothing) */
extern Jsonb *config_put_values(Jsonb *config, const NameValue *values, int count);

/* Both, more over base; either may be NULL. */
extern Jsonb *config_put_object(Jsonb *base, Jsonb *more);

#endif
