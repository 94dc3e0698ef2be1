/*
 * response.c
 *	  Reading and classifying what a provider answered: token responses and
 *	  errors (RFC 6749 §5), revocation (RFC 7009 §2.2), and the parameters of a
 *	  callback (RFC 6749 §4.1.2, RFC 9207).
 *
 * Pure functions over bytes.  Nothing a provider sends is trusted, and none of
 * its words leave here but through sanitize_provider_text and the checks of
 * each member.  Must not do I/O, raise errors for what an answer holds, or
 * decide what becomes of a connection.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "base/secret.h"
#include "base/text.h"
#include "oauth/answer_error.h"
#include "oauth/body.h"
#include "oauth/date.h"
#include "oauth/echo.h"
#include "oauth/response.h"
#include "oauth/scope.h"

/* Ten years; a longer lifetime is a date or a mistake. */
#define MAX_EXPIRES_IN ((int64_t) 3653 * 86400)
#define MAX_RESPONSE_VALUE 1024
#define MAX_RESPONSE_SCOPES 1024

#define FORM_TYPE "application/x-www-form-urlencoded"
#define BYTE_ORDER_MARK "\xef\xbb\xbf"
#define TENANT_PLACEHOLDER "{tenantid}"

static const char *read_body(const OAuthClient *client, bool is_error, const char *content_type,
							 const char *body, size_t body_len, BodyObject **root);
static void skip_byte_order_mark(const char **body, size_t *len);
static bool has_prefix_nocase(const char *text, const char *prefix);
static void read_description(const BodyMember *member, char description[MAX_ERROR_DESCRIPTION + 1]);
static const char *read_tokens(const OAuthClient *client, const BodyObject *root,
							   TokenResponse *response);
static const BodyObject *token_object(const OAuthClient *client, const BodyObject *root);
static const char *accepted_token_type(const OAuthClient *client, const BodyMember *member);
static bool is_token_text(const BodyMember *member);
static const BodyMember *member_of(const BodyObject *root, const char *path,
								   const BodyObject *object, const char *name);
static void read_expires_at(const OAuthClient *client, const BodyMember *member,
							TokenResponse *response);
static void read_expires_in(const OAuthClient *client, const BodyMember *member,
							TokenResponse *response);
static void read_refresh_token_expires_in(const OAuthClient *client, const BodyObject *root,
										  bool has_refresh_token, TokenResponse *response);
static bool is_type(const char *text, size_t len, const char *type);
static bool parse_seconds(const BodyMember *member, const char *text, size_t len, int64_t *seconds);
static void read_scope(const OAuthClient *client, const BodyMember *member,
					   TokenResponse *response);
static void add_scope(TokenResponse *response, const char *scope, size_t len);
static void read_values(const OAuthClient *client, const BodyObject *root, TokenResponse *response);
static bool is_plain_value(const BodyMember *member);
static void cleanse_token(char **token);

bool
issuer_matches(const char *expected, const char *iss)
{
	const char *placeholder;
	const char *authority;
	const char *path;
	size_t before;
	size_t segment;

	if (expected == NULL || iss == NULL)
		return false;
	placeholder = strstr(expected, TENANT_PLACEHOLDER);
	if (placeholder == NULL)
		return strcmp(expected, iss) == 0;

	/* a whole segment of the path; elsewhere it would be somebody else's host */
	authority = strstr(expected, "://");
	path = authority != NULL ? strchr(authority + 3, '/') : NULL;
	if (path == NULL || placeholder <= path || placeholder[-1] != '/')
		return false;
	before = (size_t) (placeholder - expected);
	placeholder += strlen(TENANT_PLACEHOLDER);
	if (*placeholder != '/' && *placeholder != '\0')
		return false;

	if (strncmp(expected, iss, before) != 0)
		return false;
	iss += before;
	segment = strspn(iss, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~");
	if (segment == 0 || strspn(iss, ".") == segment)
		return false;
	return strcmp(placeholder, iss + segment) == 0;
}

static bool
has_prefix_nocase(const char *text, const char *prefix)
{
	return pg_strncasecmp(text, prefix, strlen(prefix)) == 0;
}

/* RFC 8259 §8.1: nobody is to send it, and it need not be an error */
static void
skip_byte_order_mark(const char **body, size_t *len)
{
	const size_t size = strlen(BYTE_ORDER_MARK);

	if (*len < size || memcmp(*body, BYTE_ORDER_MARK, size) != 0)
		return;
	*body += size;
	*len -= size;
}

/*
 * The body's shape decides what it is; the content type only explains why it
 * could not be read, and lets an error be form encoded where tokens are not.
 */
static const char *
read_body(const OAuthClient *client, bool is_error, const char *content_type, const char *body,
		  size_t body_len, BodyObject **root)
{
	const char *refusal;
	size_t start = 0;

	*root = NULL;
	if (body == NULL || body_len == 0)
		return "the body is empty";
	skip_byte_order_mark(&body, &body_len);
	while (start < body_len && strchr(" \t\r\n", body[start]) != NULL && body[start] != '\0')
		start++;
	if (start < body_len && body[start] != '{' &&
		(client->form_token_response ||
		 (is_error && content_type != NULL && has_prefix_nocase(content_type, FORM_TYPE))))
	{
		/* form encoding has no white space of its own */
		while (strchr(" \t\r\n", body[body_len - 1]) != NULL && body[body_len - 1] != '\0')
			body_len--;
		refusal = read_form_body(body + start, body_len - start, root);
	}
	else
	{
		const char *const members[] = {client->token_path,
									   client->access_token_path,
									   client->refresh_token_path,
									   client->expires_in_path,
									   client->expires_at_path,
									   client->error_path,
									   client->refresh_token_expires_in_path,
									   client->scope_path};
		int n_paths = lengthof(members);
		const char **paths =
			palloc(sizeof(char *) * (size_t) (n_paths + client->n_token_response_values));

		memcpy(paths, members, sizeof(members));
		for (int i = 0; i < client->n_token_response_values; i++)
			paths[n_paths++] = client->token_response_values[i].value;
		refusal = read_json_body(body, body_len, paths, n_paths, root);
		pfree(paths);
	}
	if (refusal != NULL && content_type != NULL && has_prefix_nocase(content_type, "text/html"))
		return "the body is a web page";
	return refusal;
}

/* In the server's own words, but for what may be a token */
static void
read_description(const BodyMember *member, char description[MAX_ERROR_DESCRIPTION + 1])
{
	description[0] = '\0';
	if (member == NULL)
		return;
	sanitize_provider_text(member->text, member->len, description, MAX_ERROR_DESCRIPTION + 1);
	echo_mask_tokens(description);
}

void
parse_token_response(const OAuthClient *client, int status, const char *content_type,
					 const char *body, size_t body_len, TokenResponse *response)
{
	BodyObject *root;
	const BodyMember *description;
	const char *refusal;
	const char *code;

	memset(response, 0, sizeof(*response));
	response->expires_in = response->expires_at = response->refresh_token_expires_in = -1;
	response->outcome = TOKEN_MALFORMED;

	/* never followed: the code and the client's secret would go with it */
	if (status >= 300 && status < 400)
	{
		response->malformed = "the answer is a redirect";
		return;
	}
	if (status < 200 || status > 599)
	{
		response->malformed = "the status is not one of an answer";
		return;
	}

	refusal = read_body(client, status >= 400, content_type, body, body_len, &root);
	code = read_error(client, root, response->error, &description);
	read_description(description, response->error_description);
	/* people read them */
	echo_mask_client(response->error, client);
	echo_mask_client(response->error_description, client);

	/* first the statuses under which nothing in the body is definite */
	if (status == 429)
		response->outcome = TOKEN_RATE_LIMITED;
	else if (status >= 500 || status == 408 || status == 425)
		response->outcome = TOKEN_UNAVAILABLE;
	else if (code != NULL)
		response->outcome = error_outcome(client, status, code);
	else if (status >= 400)
		response->outcome = wordless_outcome(status, body_len, root);
	else
	{
		if (refusal == NULL)
			refusal = read_tokens(client, root, response);
		if (refusal == NULL)
			response->outcome = TOKEN_GRANTED;
		else
			response->malformed = refusal;
	}
	body_free(root);
}

/* RFC 6749 appendix A.12 and A.17: 1*VSCHAR.  No CR or LF for a header. */
static bool
is_token_text(const BodyMember *member)
{
	size_t i;

	if (member->kind != BODY_STRING || member->len == 0 || member->len > MAX_TOKEN_BYTES)
		return false;
	for (i = 0; i < member->len; i++)
	{
		if (member->text[i] < 0x20 || member->text[i] > 0x7e)
			return false;
	}
	return true;
}

/*
 * The object that holds the tokens, NULL when there is none.
 *
 * Slack puts a user's tokens below authed_user when the code is exchanged, next
 * to a bot's at top level, but at top level when they are refreshed.  Without
 * tokens at the path the top level is taken, but only if it says to be of a
 * type that the row lists: never the bot's for the user's.
 */
static const BodyObject *
token_object(const OAuthClient *client, const BodyObject *root)
{
	const BodyObject *object = body_object_at(root, client->token_path);
	const BodyMember *type = body_member(root, "token_type");
	int i;

	if (client->token_path == NULL || client->access_token_path != NULL ||
		(object != NULL && body_member(object, "access_token")))
		return object;
	for (i = 0; type != NULL && type->kind == BODY_STRING && i < client->n_token_types; i++)
	{
		if (pg_strcasecmp(type->text, client->token_types[i]) == 0)
			return root;
	}
	return object;
}

/* RFC 6749 §5.1: case insensitive */
static bool
is_type(const char *text, size_t len, const char *type)
{
	return strlen(type) == len && pg_strncasecmp(text, type, len) == 0;
}

/* The type as we name it, "Bearer" when absent; NULL when not accepted. */
static const char *
accepted_token_type(const OAuthClient *client, const BodyMember *member)
{
	const char *text;
	size_t len;
	int i;

	if (member == NULL)
		return "Bearer";
	if (member->kind != BODY_STRING)
		return NULL;
	text = member->text;
	len = member->len;
	text_trim(&text, &len);
	if (len == 0 || is_type(text, len, "Bearer"))
		return "Bearer";
	for (i = 0; i < client->n_token_types; i++)
	{
		if (is_type(text, len, client->token_types[i]))
			return client->token_types[i];
	}
	return NULL;
}

/* By its path from the top, if the definition has one; else by name in the object */
static const BodyMember *
member_of(const BodyObject *root, const char *path, const BodyObject *object, const char *name)
{
	return path != NULL ? body_member_at(root, path) : body_member(object, name);
}

/* Returns NULL, or why the answer is no token response; then nothing is set. */
static const char *
read_tokens(const OAuthClient *client, const BodyObject *root, TokenResponse *response)
{
	const BodyObject *object = token_object(client, root);
	const BodyMember *access_token;
	const BodyMember *refresh_token;
	const BodyMember *id_token;
	const char *token_type;

	if (object == NULL)
		return "there is no object at the token path";

	access_token = member_of(root, client->access_token_path, object, "access_token");
	if (access_token == NULL || body_is_blank(access_token))
		return "there is no access_token";
	if (access_token->kind != BODY_STRING)
		return "access_token is not a string";
	if (!is_token_text(access_token))
		return "access_token is too long or has characters that no token may have";
	refresh_token = member_of(root, client->refresh_token_path, object, "refresh_token");
	if (refresh_token != NULL && body_is_blank(refresh_token))
		refresh_token = NULL;
	if (refresh_token != NULL && !is_token_text(refresh_token))
		return "refresh_token is not a string that may be a token";
	/* whoever may see the one may not see the other */
	if (refresh_token != NULL && strcmp(refresh_token->text, access_token->text) == 0 &&
		(client->access_token_path != NULL || client->refresh_token_path != NULL))
		return "access_token and refresh_token are one";
	token_type = accepted_token_type(client, body_member(object, "token_type"));
	if (token_type == NULL)
		return "token_type is not one that is accepted";

	read_refresh_token_expires_in(client, root, refresh_token != NULL, response);
	response->access_token = secret_copy(access_token->text, access_token->len);
	if (refresh_token == NULL && client->refresh_by_access_token)
		refresh_token = access_token;
	if (refresh_token != NULL)
		response->refresh_token = secret_copy(refresh_token->text, refresh_token->len);
	response->token_type = secret_copy(token_type, strlen(token_type));

	/* a bad one must not cost the tokens of a refresh, nor pass for absent */
	id_token = body_member(object, "id_token");
	if (id_token != NULL && id_token->kind == BODY_FALSE && client->id_token_optional)
		id_token = NULL;
	if (id_token != NULL && !body_is_blank(id_token))
		response->id_token = is_token_text(id_token) ? secret_copy(id_token->text, id_token->len)
													 : secret_copy("", 0);

	read_expires_in(client, member_of(root, client->expires_in_path, object, "expires_in"),
					response);
	if (client->expires_at_path != NULL)
		read_expires_at(client, body_member_at(root, client->expires_at_path), response);
	read_scope(client, member_of(root, client->scope_path, object, "scope"), response);
	read_values(client, root, response);
	return NULL;
}

/*
 * A JSON number, or a string that is one, with leading zeros (RFC 6749 appendix A.14 has
 * digits) and white space if need be; what is below a second is cut off.
 */
static bool
parse_seconds(const BodyMember *member, const char *text, size_t len, int64_t *seconds)
{
	double value;

	if (member->kind != BODY_NUMBER && member->kind != BODY_STRING)
		return false;
	while (len > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9')
	{
		text++;
		len--;
	}
	if (len > 64 || !IsValidJsonNumber(text, (int) len))
		return false;
	/* nothing that goes on with the number follows it */
	value = strtod(text, NULL);
	if (!(value >= 0 && value <= (double) MAX_EXPIRES_IN))
		return false;
	*seconds = (int64_t) value;
	return true;
}

static void
read_expires_in(const OAuthClient *client, const BodyMember *member, TokenResponse *response)
{
	const char *text = member != NULL && member->text != NULL ? member->text : "";
	size_t len = member != NULL ? strlen(text) : 0;
	int64_t seconds;

	response->expires_in = client->default_expires_in;
	text_trim(&text, &len);
	if (member == NULL || (member->kind == BODY_STRING && len == 0))
		return;
	if (!parse_seconds(member, text, len, &seconds))
		response->expires_in_ignored = true;
	else if (seconds > 0 || client->zero_expires_in == ZERO_IS_EXPIRED)
		response->expires_in = seconds;
}

/*
 * As the answer says; 0 is how servers write that there is no end.  Else as the definition
 * does, of a refresh token that is new, or that is renewed by the use that was just made of it.
 */
static void
read_refresh_token_expires_in(const OAuthClient *client, const BodyObject *root,
							  bool has_refresh_token, TokenResponse *response)
{
	const BodyMember *member = client->refresh_token_expires_in_path != NULL
								   ? body_member_at(root, client->refresh_token_expires_in_path)
								   : NULL;
	const char *text = member != NULL && member->text != NULL ? member->text : "";
	size_t len = strlen(text);
	int64_t seconds;

	text_trim(&text, &len);
	if (member != NULL && parse_seconds(member, text, len, &seconds))
		response->refresh_token_expires_in = seconds > 0 ? seconds : REFRESH_TOKEN_LASTS;
	else if (client->refresh_token_lifetime > 0 &&
			 (has_refresh_token || client->refresh_token_renewed_by_use))
		response->refresh_token_expires_in = client->refresh_token_lifetime;
}

static void
read_expires_at(const OAuthClient *client, const BodyMember *member, TokenResponse *response)
{
	const char *text = member != NULL && member->text != NULL ? member->text : "";
	size_t len = strlen(text);
	char copy[64];

	text_trim(&text, &len);
	if (member == NULL || (member->kind == BODY_STRING && len == 0))
		return;
	if ((member->kind != BODY_STRING && member->kind != BODY_NUMBER) || len >= sizeof(copy))
	{
		response->expires_in_ignored = true;
		return;
	}
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (!parse_date(copy, client->expires_at_format, &response->expires_at))
		response->expires_in_ignored = true;
}

void
token_response_count_from(TokenResponse *response, const OAuthClient *client, int64_t sent_at)
{
	int64_t left = response->expires_at - sent_at;

	if (response->outcome != TOKEN_GRANTED || response->expires_at < 0)
		return;
	/* clocks differ, but no token that has just been granted was of no use yesterday */
	if (left > MAX_EXPIRES_IN || left < -86400)
		response->expires_in_ignored = true;
	else if (left > 0 || client->zero_expires_in == ZERO_IS_EXPIRED)
		response->expires_in = Max(left, 0);
	response->expires_at = -1;
}

static void
read_scope(const OAuthClient *client, const BodyMember *member, TokenResponse *response)
{
	if (member != NULL && member->text != NULL &&
		(member->kind == BODY_STRING || member->kind == BODY_ARRAY))
		read_scope_text(client, member->text, response);
}

/*
 * A string is split at the row's separator and at spaces and commas, because
 * some providers ask with one and answer with another.
 */
void
read_scope_text(const OAuthClient *client, const char *text, TokenResponse *response)
{
	const char *separator = client->response_scope_separator != NULL
								? client->response_scope_separator
							: client->scope_separator != NULL ? client->scope_separator
															  : "";
	size_t separator_len = strlen(separator);
	const char *start;
	const char *at;

	response->has_scope = true;
	response->n_scopes = 0;
	for (start = at = text; *at != '\0';)
	{
		size_t skip = 0;

		if (separator_len > 0 && strncmp(at, separator, separator_len) == 0)
			skip = separator_len;
		else if (strchr(" ,\t\r\n", *at) != NULL)
			skip = 1;
		if (skip == 0)
		{
			at++;
			continue;
		}
		add_scope(response, start, (size_t) (at - start));
		at += skip;
		start = at;
	}
	add_scope(response, start, (size_t) (at - start));
}

/* What is no scope-token of RFC 6749 §3.3 was never asked for: left out. */
static void
add_scope(TokenResponse *response, const char *scope, size_t len)
{
	char *copy;
	int j;

	if (len == 0 || len > MAX_RESPONSE_VALUE || response->n_scopes == MAX_RESPONSE_SCOPES)
		return;
	for (j = 0; j < response->n_scopes; j++)
	{
		if (strncmp(response->scopes[j], scope, len) == 0 && response->scopes[j][len] == '\0')
			return;
	}
	if (response->scopes == NULL)
		response->scopes = palloc(sizeof(char *) * MAX_RESPONSE_SCOPES);
	copy = pnstrdup(scope, len);
	if (is_scope_token(copy))
		response->scopes[response->n_scopes++] = copy;
	else
		pfree(copy);
}

/* UTF-8 without C0 and C1 controls; these become part of an API's URL. */
static bool
is_plain_value(const BodyMember *member)
{
	const unsigned char *text = (const unsigned char *) member->text;
	size_t i;

	if (text == NULL || member->kind == BODY_ARRAY || member->len > MAX_RESPONSE_VALUE)
		return false;
	for (i = 0; i < member->len; i++)
	{
		if (text[i] < 0x20 || text[i] == 0x7f || (text[i] == 0xc2 && text[i + 1] < 0xa0))
			return false;
	}
	return true;
}

/* By whatever name it came */
static bool
is_token_of(const BodyMember *member, const char *token)
{
	return token != NULL && strcmp(member->text, token) == 0;
}

static void
read_values(const OAuthClient *client, const BodyObject *root, TokenResponse *response)
{
	static const char *const secrets[] = {"access_token", "refresh_token", "id_token"};
	int i;
	int j;

	if (client->n_token_response_values == 0)
		return;
	response->values = palloc(sizeof(NameValue) * (size_t) client->n_token_response_values);
	for (i = 0; i < client->n_token_response_values; i++)
	{
		const BodyMember *member = body_member_at(root, client->token_response_values[i].value);
		bool secret = false;

		if (member == NULL)
			continue;
		/* connection_config is stored and shown in the clear */
		for (j = 0; j < (int) lengthof(secrets); j++)
			secret |= strcmp(member->name, secrets[j]) == 0;
		if (secret || !is_plain_value(member) || is_token_of(member, response->access_token) ||
			is_token_of(member, response->refresh_token) || is_token_of(member, response->id_token))
			continue;
		response->values[response->n_values].name = client->token_response_values[i].name;
		response->values[response->n_values].value = pnstrdup(member->text, member->len);
		response->n_values++;
	}
}

static void
cleanse_token(char **token)
{
	if (*token != NULL)
		secret_cleanse(*token, strlen(*token));
	*token = NULL;
}

void
token_response_cleanse(TokenResponse *response)
{
	cleanse_token(&response->access_token);
	cleanse_token(&response->refresh_token);
	cleanse_token(&response->id_token);
	cleanse_token(&response->token_type);
}

RevocationOutcome
classify_revocation_response(const OAuthClient *client, int status, const char *body,
							 size_t body_len, char error[MAX_ERROR_CODE + 1],
							 char error_description[MAX_ERROR_DESCRIPTION + 1])
{
	/* what providers say of a token that is dead already; RFC 7009 says 200 */
	static const char *const ended[] = {"token_revoked", "account_inactive"};
	static const char *const dead[] = {"invalid_token", "token_expired"};
	const RevocationStyle *how = &client->revocation;
	BodyObject *root = NULL;
	const BodyMember *description;
	const char *code;
	RevocationOutcome outcome;
	int i;

	if (body != NULL)
		skip_byte_order_mark(&body, &body_len);
	if (body != NULL && body_len > 0)
		read_json_body(body, body_len, NULL, 0, &root);
	code = read_error(NULL, root, error, &description);
	read_description(description, error_description);

	if (status == 408 || status == 425 || status == 429 || (status >= 500 && status <= 599))
		outcome = REVOCATION_RETRY;
	else if (code != NULL && ((status >= 200 && status <= 299) || (status >= 400 && status <= 499)))
	{
		switch (error_outcome(NULL, status, code))
		{
			case TOKEN_INVALID_GRANT:
				outcome = REVOCATION_DONE;
				break;
			case TOKEN_UNAVAILABLE:
			case TOKEN_RATE_LIMITED:
				outcome = REVOCATION_RETRY;
				break;
			default:
				outcome = REVOCATION_REFUSED;
				break;
		}
		for (i = 0; i < (int) lengthof(ended); i++)
			if (pg_strcasecmp(code, ended[i]) == 0)
				outcome = REVOCATION_DONE;
		for (i = 0; i < (int) lengthof(dead); i++)
			if (pg_strcasecmp(code, dead[i]) == 0)
				outcome = REVOCATION_DEAD;
	}
	else if (status >= 400 && status <= 499)
		outcome = wordless_outcome(status, body_len, root) == TOKEN_REFUSED ? REVOCATION_REFUSED
																			: REVOCATION_RETRY;
	else
		outcome = status >= 200 && status <= 299 ? REVOCATION_DONE : REVOCATION_REFUSED;

	/* RFC 6750 §3.1; and what is not there cannot be deleted (GitHub says 422 too) */
	if (outcome != REVOCATION_DONE &&
		((how->auth == REVOCATION_BEARER && status == 401) ||
		 (how->by_delete && (status == 404 || status == 410 || status == 422))))
		outcome = REVOCATION_DEAD;
	body_free(root);
	return outcome;
}
