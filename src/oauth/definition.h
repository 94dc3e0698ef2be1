/*
 * definition.h
 *	  A provider's definition (names of RFC 8414 metadata and the extension's own)
 *	  and a connector's options, as JSON.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_DEFINITION_H
#define APPUSER_CONNECTORS_OAUTH_DEFINITION_H

#include "oauth/client.h"
#include "oauth/definition_member.h"

/* What is wrong with it, palloc'ed; NULL when nothing is. */
extern const DefinitionProblem *definition_problem(const JsonValue *definition);
extern const DefinitionProblem *options_problem(const JsonValue *options);

/*
 * Fills what a definition says about a client.  One that has problems is read as
 * if the members in question were absent.
 */
extern void definition_read(const JsonValue *definition, OAuthClient *client);

/* The URL that a member is or, as that of "profile", has; NULL: none */
extern const char *definition_url(const JsonValue *definition, const char *name);

/* What the member pkce of a definition or of options says; NULL: it is absent */
extern PkceMethod definition_pkce(const char *text);

/*
 * Fills the fields of connection_config that a definition and, in their place, a
 * connector's options (NULL: none) declare.  definition_read does so without options.
 */
extern void definition_read_fields(const JsonValue *definition, const JsonValue *options,
								   OAuthClient *client);

#endif
