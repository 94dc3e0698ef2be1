/*
 * scope.c
 *	  Scopes in the names that were asked for, whatever a provider calls them.
 *
 * RFC 6749 §3.3 has a server name every scope in which its grant differs from what was
 * asked for.  Servers name one by another word (Google: email), leave out what another
 * scope implies (GitHub: repo), or never name some (offline_access); a definition says
 * so.  This is done once, when an answer is stored, so that who reads a connection only
 * compares names.
 *
 * Pure functions; must not do I/O or raise errors.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "base/text.h"
#include "oauth/scope.h"

static bool contains(char *const *scopes, int count, const char *scope);

bool
is_scope_token(const char *text)
{
	const char *c;

	for (c = text; *c != '\0'; c++)
		if (*c < 0x21 || *c > 0x7e || *c == '"' || *c == '\\')
			return false;
	return c > text;
}

const char *
scope_problem(const char *text)
{
	const char *pasted = text_pasted_problem(text, false);

	if (pasted != NULL)
		return pasted;
	if (strchr(text, ',') != NULL)
		return "It holds a comma, which separates scopes.";
	return is_scope_token(text) ? NULL
								: "It is empty, or holds a blank or a character that no scope has.";
}

char **
scopes_held(const OAuthClient *client, char *const *returned, int n_returned,
			char *const *requested, int n_requested, int *count)
{
	char **held = palloc(sizeof(char *) * (size_t) (n_returned + client->n_unreturned_scopes +
													client->n_implied_scopes + 1));
	int n = 0;
	int i;
	int j;

	for (i = 0; i < n_returned; i++)
		if (!contains(held, n, returned[i]))
			held[n++] = returned[i];
	for (i = 0; i < client->n_unreturned_scopes; i++)
	{
		char *scope = unconstify(char *, client->unreturned_scopes[i]);

		if (contains(requested, n_requested, scope) && !contains(held, n, scope))
			held[n++] = scope;
	}
	/* what is implied may imply more; each pair adds one at most */
	for (i = 0; i < n; i++)
		for (j = 0; j < client->n_implied_scopes; j++)
		{
			const NameValue *pair = &client->implied_scopes[j];

			if (strcmp(pair->name, held[i]) == 0 && !contains(held, n, pair->value))
				held[n++] = unconstify(char *, pair->value);
		}
	*count = n;
	return held;
}

static bool
contains(char *const *scopes, int count, const char *scope)
{
	int i;

	for (i = 0; i < count; i++)
		if (strcmp(scopes[i], scope) == 0)
			return true;
	return false;
}
