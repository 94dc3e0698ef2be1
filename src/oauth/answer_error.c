/*
 * answer_error.c
 *	  What a provider's answer says went wrong: the codes of RFC 6749 §5.2, those that
 *	  well-known servers have instead, and those of its definition.
 *
 * Pure functions over bytes.  None of a provider's words leave here but through
 * sanitize_provider_text.  Must not do I/O or raise errors.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "base/text.h"
#include "oauth/answer_error.h"
#include "oauth/echo.h"

/*
 * Error codes that say more than their status: of RFC 6749 §4.1.2.1 and §5.2, RFC
 * 8628 §3.5, OpenID Connect Core §3.1.2.6, and what well-known servers say instead,
 * some of them under status 200.  A code that is not here is a refusal whose meaning
 * its neighbours must tell, unauthorized_client among them: that speaks of the
 * grant's client and so of one connection.
 */
static const struct
{
	const char *code;
	TokenOutcome outcome;
} known_errors[] = {
	{"invalid_grant", TOKEN_INVALID_GRANT},
	/* the person must come back */
	{"interaction_required", TOKEN_INVALID_GRANT},
	{"login_required", TOKEN_INVALID_GRANT},
	{"consent_required", TOKEN_INVALID_GRANT},
	{"account_selection_required", TOKEN_INVALID_GRANT},
	/* GitHub, Slack, Dropbox, Atlassian and others */
	{"bad_refresh_token", TOKEN_INVALID_GRANT},
	{"invalid_refresh_token", TOKEN_INVALID_GRANT},
	{"bad_verification_code", TOKEN_INVALID_GRANT},
	{"invalid_code", TOKEN_INVALID_GRANT},
	{"token_revoked", TOKEN_INVALID_GRANT},
	{"token_expired", TOKEN_INVALID_GRANT},
	{"expired_token", TOKEN_INVALID_GRANT},
	{"refresh_token_expired", TOKEN_INVALID_GRANT},
	{"account_inactive", TOKEN_INVALID_GRANT},
	{"invalid_client", TOKEN_INVALID_CLIENT},
	{"incorrect_client_credentials", TOKEN_INVALID_CLIENT},
	{"bad_client_secret", TOKEN_INVALID_CLIENT},
	{"invalid_client_id", TOKEN_INVALID_CLIENT},
	{"temporarily_unavailable", TOKEN_UNAVAILABLE},
	{"server_error", TOKEN_UNAVAILABLE},
	{"service_unavailable", TOKEN_UNAVAILABLE},
	{"internal_error", TOKEN_UNAVAILABLE},
	{"internal_server_error", TOKEN_UNAVAILABLE},
	{"fatal_error", TOKEN_UNAVAILABLE},
	{"unknown_error", TOKEN_UNAVAILABLE},
	{"request_timeout", TOKEN_UNAVAILABLE},
	{"slow_down", TOKEN_RATE_LIMITED},
	{"ratelimited", TOKEN_RATE_LIMITED},
	{"rate_limited", TOKEN_RATE_LIMITED},
	{"rate_limit_exceeded", TOKEN_RATE_LIMITED},
	{"too_many_requests", TOKEN_RATE_LIMITED},
	{"quota_exceeded", TOKEN_RATE_LIMITED},
};

static const char *own_error(const OAuthClient *client, const BodyObject *root);
static const BodyMember *own_description(const BodyObject *root);

void
sanitize_provider_text(const char *text, size_t len, char *out, size_t size)
{
	size_t i;

	if (size == 0)
		return;
	for (i = 0; i < len && i < size - 1; i++)
		out[i] = text[i] >= 0x20 && text[i] <= 0x7e ? text[i] : '?';
	out[i] = '\0';
}

bool
valid_error_code(const char *text)
{
	size_t i;

	if (text == NULL || *text == '\0')
		return false;
	for (i = 0; text[i] != '\0'; i++)
	{
		if (i >= MAX_ERROR_CODE || text[i] < 0x20 || text[i] > 0x7e || text[i] == '"' ||
			text[i] == '\\')
			return false;
	}
	return true;
}

/* The code at the place where the definition says that there is one; NULL: all is well there. */
static const char *
own_error(const OAuthClient *client, const BodyObject *root)
{
	const BodyMember *member = body_member_at(root, client->error_path);

	if (member == NULL || body_is_blank(member))
		return NULL;
	if (member->kind == BODY_OBJECT || member->kind == BODY_ARRAY)
		return "invalid_response";
	for (int i = 0; i < client->n_ok_values; i++)
		if (strcmp(member->text, client->ok_values[i]) == 0)
			return NULL;
	return member->kind == BODY_FALSE && client->n_ok_values == 0 ? NULL : member->text;
}

/* In the words that stand beside a code which is no OAuth server's */
static const BodyMember *
own_description(const BodyObject *root)
{
	static const char *const names[] = {"error_description", "message", "msg", "errmsg",
										"error_message"};

	for (int i = 0; i < (int) lengthof(names); i++)
	{
		const BodyMember *member = body_member(root, names[i]);

		if (member != NULL && member->kind == BODY_STRING && !body_is_blank(member))
			return member;
	}
	return NULL;
}

/*
 * Returns the error code as it was sent, or NULL when the answer is no error,
 * which is when "error" is absent, null, false or empty and "ok" is not false.
 * Some providers send an object that has the code somewhere inside, and some have a place
 * of their own for it, which their definition names.
 */
const char *
read_error(const OAuthClient *client, const BodyObject *root, char error[MAX_ERROR_CODE + 1],
		   const BodyMember **description)
{
	static const char *const code_names[] = {"code", "type", "status"};
	const BodyMember *member;
	const char *code = "invalid_response";
	int i;

	*description = NULL;
	error[0] = '\0';
	if (root == NULL)
		return NULL;
	if (client != NULL && client->error_path != NULL)
	{
		code = own_error(client, root);
		if (code != NULL)
		{
			*description = own_description(root);
			sanitize_provider_text(code, strlen(code), error, MAX_ERROR_CODE + 1);
			echo_mask_tokens(error);
			return code;
		}
		code = "invalid_response";
	}

	member = body_member(root, "error");
	if (member == NULL || member->kind == BODY_FALSE || body_is_blank(member))
	{
		const BodyMember *is_ok = body_member(root, "ok");

		if (is_ok == NULL || is_ok->kind != BODY_FALSE)
			return NULL;
	}
	else if (member->kind == BODY_STRING)
		code = member->text;
	else if (member->object != NULL)
	{
		for (i = 0; i < (int) lengthof(code_names); i++)
		{
			const BodyMember *inner = body_member(member->object, code_names[i]);

			if (inner != NULL && inner->kind == BODY_STRING && !body_is_blank(inner))
			{
				code = inner->text;
				break;
			}
		}
		*description = body_member(member->object, "message");
	}

	if (*description == NULL)
		*description = body_member(root, "error_description");
	if (*description != NULL && (*description)->kind != BODY_STRING)
		*description = NULL;
	sanitize_provider_text(code, strlen(code), error, MAX_ERROR_CODE + 1);
	echo_mask_tokens(error);
	return code;
}

/* Of a definition's error_outcomes */
static TokenOutcome
named_outcome(const char *name)
{
	static const struct
	{
		const char *name;
		TokenOutcome outcome;
	} names[] = {{"reconnect_required", TOKEN_INVALID_GRANT},
				 {"connector_misconfigured", TOKEN_INVALID_CLIENT},
				 {"provider_unavailable", TOKEN_UNAVAILABLE},
				 {"rate_limited", TOKEN_RATE_LIMITED}};

	for (int i = 0; i < (int) lengthof(names); i++)
		if (strcmp(name, names[i].name) == 0)
			return names[i].outcome;
	return TOKEN_REFUSED;
}

/*
 * Of an error code under a status that leaves the word to it.  Codes are of one case
 * (RFC 6749 §5.2), which not every server knows.
 */
TokenOutcome
error_outcome(const OAuthClient *client, int status, const char *code)
{
	size_t len = strlen(code);
	int i;

	text_trim(&code, &len);
	for (i = 0; client != NULL && i < client->n_error_outcomes; i++)
	{
		const NameValue *own = &client->error_outcomes[i];

		if (strlen(own->name) == len && strncmp(code, own->name, len) == 0)
			return named_outcome(own->value);
	}
	for (i = 0; i < (int) lengthof(known_errors); i++)
	{
		if (strlen(known_errors[i].code) == len &&
			pg_strncasecmp(code, known_errors[i].code, len) == 0)
			return known_errors[i].outcome;
	}
	/* RFC 6749 §5.2 has errors under 400 and 401; elsewhere an unknown one is not OAuth's */
	return status < 400 || status == 400 || status == 401 || status == 403 ? TOKEN_REFUSED
																		   : TOKEN_UNAVAILABLE;
}

/*
 * Of a status of 4xx whose body has no error code.  Some servers refuse a dead token by
 * 400 with an empty body, or with an object of their own.  A web page is a firewall's,
 * and 404 or 405 a server's that is being changed: that is never about a grant.
 */
TokenOutcome
wordless_outcome(int status, size_t body_len, const BodyObject *root)
{
	return (status == 400 || status == 401) && (body_len == 0 || root != NULL) ? TOKEN_REFUSED
																			   : TOKEN_UNAVAILABLE;
}
