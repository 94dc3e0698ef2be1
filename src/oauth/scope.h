/*
 * scope.h
 *	  Scopes in the names that were asked for, whatever a provider calls them.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_SCOPE_H
#define APPUSER_CONNECTORS_OAUTH_SCOPE_H

#include <stdbool.h>

#include "oauth/client.h"

/* A scope-token of RFC 6749 §3.3: 1*NQCHAR without a space */
extern bool is_scope_token(const char *text);

/*
 * Why a scope that an admin or a caller gave could never be granted, a sentence, or NULL: it
 * is none, or holds a comma, at which answers are split as well.
 */
extern const char *scope_problem(const char *text);

/*
 * What a person holds to whom these scopes were granted, by any name that they may be
 * required by: those that were returned, what the client's definition says that they
 * imply or are also called, and of those that were requested the ones that the
 * provider never returns.  Each once; what was returned comes first.  Doing it again
 * changes nothing.  palloc'ed, the texts are the arguments'.
 */
extern char **scopes_held(const OAuthClient *client, char *const *returned, int n_returned,
						  char *const *requested, int n_requested, int *count);

#endif
