/*
 * definition_value.h
 *	  The value of a member of a provider's definition, or of a connector's options.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_DEFINITION_VALUE_H
#define APPUSER_CONNECTORS_OAUTH_DEFINITION_VALUE_H

#include "base/json_tree.h"
#include "oauth/client.h"

#define MAX_SECONDS 315360000 /* ten years */

/*
 * Members of a definition or of options; NULL or the default when absent, null or
 * of another kind.  Texts are the tree's own, lists are palloc'ed.
 */
extern const JsonValue *definition_member(const JsonValue *definition, const char *name);
extern const char *definition_text(const JsonValue *definition, const char *name);
extern bool definition_bool(const JsonValue *definition, const char *name, bool default_value);
extern int64_t definition_seconds(const JsonValue *definition, const char *name,
								  int64_t default_value);
extern const char **definition_texts(const JsonValue *definition, const char *name, int *count);
extern NameValue *definition_params(const JsonValue *definition, const char *name, int *count);

/* The same of an object some of whose values may be null: what it says of these is NULL. */
extern NameValue *definition_names(const JsonValue *definition, const char *name, int *count);

/* Is it among the strings of an array?  absent: if there is no such array */
extern bool definition_lists(const JsonValue *definition, const char *name, const char *text,
							 bool absent);

/* A number of seconds, 0 to MAX_SECONDS; false: it is none.  What is below a second is cut off. */
extern bool definition_parse_seconds(const JsonValue *value, int64_t *seconds);

#endif
