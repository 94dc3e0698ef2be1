/*
 * sandbox.h
 *	  The provider's test system, as its definition describes it.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_SANDBOX_H
#define APPUSER_CONNECTORS_OAUTH_SANDBOX_H

#include "oauth/definition_member.h"

/* What is wrong with the definition's "sandbox"; NULL: nothing, or there is none. */
extern const DefinitionProblem *sandbox_problem(const JsonValue *definition);

/*
 * The definition with the endpoints of its sandbox in place of its own, in the current
 * memory context; NULL when it describes none.
 */
extern const JsonValue *sandbox_definition(const JsonValue *definition);

#endif
