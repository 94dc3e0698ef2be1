/*
 * definition.h
 *	  A provider's definition (names of RFC 8414 metadata and the extension's own)
 *	  and a connector's options, as JSON.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_DEFINITION_H
#define APPUSER_CONNECTORS_OAUTH_DEFINITION_H

#include "base/json_tree.h"
#include "oauth/client.h"

typedef enum DefinitionFault
{
	DEFINITION_NOT_AN_OBJECT,
	DEFINITION_UNKNOWN_NAME,   /* name; detail is the names that are known */
	DEFINITION_INVALID_VALUE,  /* of name; detail says what it must be */
	DEFINITION_LACKS_ENDPOINT, /* detail says which are required */
} DefinitionFault;

typedef struct DefinitionProblem
{
	DefinitionFault fault;
	const char *name;
	const char *detail;
} DefinitionProblem;

/* What is wrong with it, palloc'ed; NULL when nothing is. */
extern const DefinitionProblem *definition_problem(const JsonValue *definition);
extern const DefinitionProblem *options_problem(const JsonValue *options);

/*
 * Fills what a definition says about a client.  One that has problems is read as
 * if the members in question were absent.
 */
extern void definition_read(const JsonValue *definition, OAuthClient *client);

/*
 * Fills the fields of connection_config that a definition and, in their place, a
 * connector's options (NULL: none) declare.  definition_read does so without options.
 */
extern void definition_read_fields(const JsonValue *definition, const JsonValue *options,
								   OAuthClient *client);

/*
 * Members of a definition or of options; NULL or the default when absent, null or
 * of another kind.  Texts are the tree's own, lists are palloc'ed.
 */
extern const char *definition_text(const JsonValue *definition, const char *name);
extern bool definition_bool(const JsonValue *definition, const char *name, bool default_value);
extern int64_t definition_seconds(const JsonValue *definition, const char *name,
								  int64_t default_value);
extern const char **definition_texts(const JsonValue *definition, const char *name, int *count);
extern NameValue *definition_params(const JsonValue *definition, const char *name, int *count);

#endif
