/*
 * request.c
 *	  Building what an OAuth 2.0 client sends: the authorization URL and the
 *	  bodies and credentials of token and revocation requests.
 *
 * RFC 6749 rules, with RFC 7636 (PKCE) and RFC 7009 (revocation).  Pure
 * functions over bytes; must not do I/O, raise errors, or know where a client
 * or a token is stored.
 *
 * Everything that holds a secret is built in secret memory of a size computed
 * beforehand: a buffer that grew would leave a copy behind.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "common/cryptohash.h"
#include "common/sha2.h"

#include "base/base64.h"
#include "base/secret.h"
#include "oauth/request.h"

/* One parameter becomes at most this many bytes, in either format. */
#define MAX_ENCODED_PARAM(name, value) (6 * (strlen(name) + strlen(value)) + 8)

/* Parameters of the protocol itself in a request to the token endpoint */
#define MAX_PROTOCOL_PARAMS 8

typedef struct ParamList
{
	NameValue *items;
	int count;
} ParamList;

static void init_secret_buffer(StringInfo buffer, size_t size);
static void append_encoded(StringInfo out, const char *text, const char *space);
static void append_json_string(StringInfo out, const char *text);
static void append_query_param(StringInfo url, bool *first, const char *name, const char *value);
static void append_scopes(StringInfo url, bool *first, const OAuthClient *client,
						  const AuthorizationParams *params);
static const char *scope_parameter(const OAuthClient *client);
static void init_params(ParamList *params, int n_extra);
static void add_param(ParamList *params, const char *name, const char *value);
static void add_client_authentication(const OAuthClient *client, ParamList *params);
static void finish_request(const OAuthClient *client, const char *url, ParamList *params,
						   OAuthRequest *request);

static const char hex[] = "0123456789ABCDEF";

/*
 * A StringInfo over secret memory.  It must never grow, since secret memory
 * cannot be repalloc'ed: size is an upper bound of what will be appended.
 */
static void
init_secret_buffer(StringInfo buffer, size_t size)
{
	/* appendStringInfoChar grows one byte early */
	size += 2;
	buffer->data = secret_alloc(size);
	buffer->data[0] = '\0';
	buffer->len = 0;
	buffer->maxlen = (int) size + 1;
	buffer->cursor = 0;
}

static void
append_encoded(StringInfo out, const char *text, const char *space)
{
	const unsigned char *c;

	for (c = (const unsigned char *) text; *c != '\0'; c++)
	{
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
			strchr("*-._", *c) != NULL)
			appendStringInfoChar(out, (char) *c);
		else if (*c == ' ')
			appendStringInfoString(out, space);
		else
		{
			appendStringInfoChar(out, '%');
			appendStringInfoChar(out, hex[*c >> 4]);
			appendStringInfoChar(out, hex[*c & 0x0f]);
		}
	}
}

void
append_form_encoded(StringInfo out, const char *text)
{
	append_encoded(out, text, "+");
}

/* RFC 8259 §7 */
static void
append_json_string(StringInfo out, const char *text)
{
	const unsigned char *c;

	appendStringInfoChar(out, '"');
	for (c = (const unsigned char *) text; *c != '\0'; c++)
	{
		if (*c < 0x20)
		{
			/* not appendStringInfo, which asks for more room than it needs */
			appendStringInfoString(out, "\\u00");
			appendStringInfoChar(out, hex[*c >> 4]);
			appendStringInfoChar(out, hex[*c & 0x0f]);
		}
		else
		{
			if (*c == '"' || *c == '\\')
				appendStringInfoChar(out, '\\');
			appendStringInfoChar(out, (char) *c);
		}
	}
	appendStringInfoChar(out, '"');
}

/*
 * Should hashing fail, which takes memory running out, the challenge is empty:
 * the provider refuses that, where a weaker one would be accepted.
 */
void
code_challenge_s256(const char *code_verifier, char challenge[CODE_CHALLENGE_LENGTH + 1])
{
	unsigned char digest[PG_SHA256_DIGEST_LENGTH];
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	challenge[0] = '\0';
	if (hash != NULL && pg_cryptohash_init(hash) == 0 &&
		pg_cryptohash_update(hash, (const uint8 *) code_verifier, strlen(code_verifier)) == 0 &&
		pg_cryptohash_final(hash, digest, sizeof(digest)) == 0)
	{
		StringInfoData text;

		initStringInfo(&text);
		append_base64url(&text, digest, sizeof(digest));
		Assert(text.len == CODE_CHALLENGE_LENGTH);
		memcpy(challenge, text.data, CODE_CHALLENGE_LENGTH + 1);
		pfree(text.data);
	}
	pg_cryptohash_free(hash);
}

static const char *
scope_parameter(const OAuthClient *client)
{
	return client->scope_parameter != NULL ? client->scope_parameter : "scope";
}

/* Spaces as %20: every server decodes that, and some do not decode '+'. */
static void
append_query_param(StringInfo url, bool *first, const char *name, const char *value)
{
	if (!*first)
		appendStringInfoChar(url, '&');
	*first = false;
	append_encoded(url, name, "%20");
	appendStringInfoChar(url, '=');
	append_encoded(url, value, "%20");
}

static void
append_scopes(StringInfo url, bool *first, const OAuthClient *client,
			  const AuthorizationParams *params)
{
	const char *separator = client->scope_separator != NULL ? client->scope_separator : " ";
	StringInfoData scopes;
	int i;

	initStringInfo(&scopes);
	for (i = 0; i < params->n_scopes; i++)
	{
		if (i > 0)
			appendStringInfoString(&scopes, separator);
		appendStringInfoString(&scopes, params->scopes[i]);
	}
	append_query_param(url, first, scope_parameter(client), scopes.data);
	pfree(scopes.data);
}

/* A request object would replace everything, state and challenge too (RFC 9101 §5). */
bool
is_authorization_param(const char *name)
{
	static const char *const names[] = {
		"response_type",         "client_id", "redirect_uri", "state", "nonce", "code_challenge",
		"code_challenge_method", "request",   "request_uri"};
	int i;

	for (i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

void
build_authorization_url(const OAuthClient *client, const AuthorizationParams *params,
						StringInfo url)
{
	const char *endpoint = client->authorization_endpoint;

	/* an endpoint has no fragment (§3.1); one here would swallow the query */
	size_t len = strcspn(endpoint, "#");
	const char *query = memchr(endpoint, '?', len);
	bool first;
	int i;

	appendBinaryStringInfo(url, endpoint, (int) len);
	if (query == NULL)
		appendStringInfoChar(url, '?');
	first = query == NULL || endpoint[len - 1] == '?' || endpoint[len - 1] == '&';

	append_query_param(url, &first, "response_type", "code");
	append_query_param(url, &first, "client_id", client->client_id);
	append_query_param(url, &first, "redirect_uri", params->redirect_uri);
	if (params->n_scopes > 0)
		append_scopes(url, &first, client, params);
	append_query_param(url, &first, "state", params->state);
	if (params->code_verifier != NULL)
	{
		char challenge[CODE_CHALLENGE_LENGTH + 1];

		code_challenge_s256(params->code_verifier, challenge);
		append_query_param(url, &first, "code_challenge", challenge);
		append_query_param(url, &first, "code_challenge_method", "S256");
	}
	if (params->nonce != NULL)
		append_query_param(url, &first, "nonce", params->nonce);

	/* RFC 8707 §2.1 */
	if (client->resource != NULL)
		append_query_param(url, &first, "resource", client->resource);

	for (i = 0; i < client->n_authorization_params; i++)
	{
		const NameValue *extra = &client->authorization_params[i];

		if (!is_authorization_param(extra->name) &&
			strcmp(extra->name, scope_parameter(client)) != 0)
			append_query_param(url, &first, extra->name, extra->value);
	}
}

bool
is_token_param(const char *name)
{
	static const char *const names[] = {"grant_type",    "code",          "redirect_uri",
										"code_verifier", "refresh_token", "client_id",
										"client_secret"};
	int i;

	for (i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* Some servers want redirect_uri again at a refresh. */
bool
is_refresh_param(const char *name)
{
	return strcmp(name, "redirect_uri") != 0 &&
		   (is_token_param(name) || strcmp(name, "scope") == 0);
}

static void
init_params(ParamList *params, int n_extra)
{
	params->items = palloc(sizeof(NameValue) * (size_t) (MAX_PROTOCOL_PARAMS + n_extra));
	params->count = 0;
}

static void
add_param(ParamList *params, const char *name, const char *value)
{
	params->items[params->count].name = name;
	params->items[params->count].value = value;
	params->count++;
}

/* RFC 6749 §2.3.1: never two methods in one request */
static void
add_client_authentication(const OAuthClient *client, ParamList *params)
{
	switch (client->auth_method)
	{
		case CLIENT_SECRET_BASIC:
			break;
		case CLIENT_SECRET_POST:
			add_param(params, "client_id", client->client_id);
			if (client->client_secret != NULL)
				add_param(params, "client_secret", client->client_secret);
			break;
		case CLIENT_AUTH_NONE:
			add_param(params, "client_id", client->client_id);
			break;
	}
}

/* §2.3.1: form-encoded first, so that a ':' in the id cannot move the border */
char *
basic_authorization(const OAuthClient *client)
{
	const char *secret = client->client_secret != NULL ? client->client_secret : "";
	StringInfoData credentials;
	StringInfoData header;

	init_secret_buffer(&credentials, 3 * (strlen(client->client_id) + strlen(secret)) + 1);
	append_form_encoded(&credentials, client->client_id);
	appendStringInfoChar(&credentials, ':');
	append_form_encoded(&credentials, secret);

	init_secret_buffer(&header, strlen("Basic ") + ((size_t) credentials.len + 2) / 3 * 4);
	appendStringInfoString(&header, "Basic ");
	append_base64(&header, (const unsigned char *) credentials.data, (size_t) credentials.len);
	secret_cleanse(credentials.data, (size_t) credentials.len);
	return header.data;
}

static void
finish_request(const OAuthClient *client, const char *url, ParamList *params, OAuthRequest *request)
{
	bool json = client->token_body_format == TOKEN_BODY_JSON;
	size_t size = 2;
	int i;

	for (i = 0; i < params->count; i++)
		size += MAX_ENCODED_PARAM(params->items[i].name, params->items[i].value);

	request->url = url;
	request->content_type = json ? "application/json" : "application/x-www-form-urlencoded";
	init_secret_buffer(&request->body, size);
	if (json)
		appendStringInfoChar(&request->body, '{');
	for (i = 0; i < params->count; i++)
	{
		const NameValue *param = &params->items[i];

		if (json)
		{
			if (i > 0)
				appendStringInfoChar(&request->body, ',');
			append_json_string(&request->body, param->name);
			appendStringInfoChar(&request->body, ':');
			append_json_string(&request->body, param->value);
		}
		else
		{
			if (i > 0)
				appendStringInfoChar(&request->body, '&');
			append_form_encoded(&request->body, param->name);
			appendStringInfoChar(&request->body, '=');
			append_form_encoded(&request->body, param->value);
		}
	}
	if (json)
		appendStringInfoChar(&request->body, '}');
	Assert((size_t) request->body.len <= size);
	pfree(params->items);

	request->authorization =
		client->auth_method == CLIENT_SECRET_BASIC ? basic_authorization(client) : NULL;
}

void
build_code_request(const OAuthClient *client, const char *code, const char *redirect_uri,
				   const char *code_verifier, OAuthRequest *request)
{
	ParamList params;
	int i;

	init_params(&params, client->n_token_params);
	add_param(&params, "grant_type", "authorization_code");
	add_param(&params, "code", code);
	add_param(&params, "redirect_uri", redirect_uri);
	if (code_verifier != NULL)
		add_param(&params, "code_verifier", code_verifier);
	if (client->resource != NULL)
		add_param(&params, "resource", client->resource); /* RFC 8707 §2.2 */
	add_client_authentication(client, &params);
	for (i = 0; i < client->n_token_params; i++)
	{
		if (!is_token_param(client->token_params[i].name))
			add_param(&params, client->token_params[i].name, client->token_params[i].value);
	}
	finish_request(client, client->token_endpoint, &params, request);
}

void
build_refresh_request(const OAuthClient *client, const char *refresh_token, OAuthRequest *request)
{
	ParamList params;
	int i;

	init_params(&params, client->n_refresh_params);
	add_param(&params, "grant_type", "refresh_token");
	add_param(&params, "refresh_token", refresh_token);
	if (client->resource != NULL)
		add_param(&params, "resource", client->resource);
	add_client_authentication(client, &params);
	for (i = 0; i < client->n_refresh_params; i++)
	{
		const NameValue *extra = &client->refresh_params[i];

		if (!is_refresh_param(extra->name) && strcmp(extra->name, scope_parameter(client)) != 0)
			add_param(&params, extra->name, extra->value);
	}
	finish_request(client,
				   client->refresh_endpoint != NULL ? client->refresh_endpoint
													: client->token_endpoint,
				   &params, request);
}

void
build_revocation_request(const OAuthClient *client, const char *token, const char *token_type_hint,
						 OAuthRequest *request)
{
	ParamList params;

	init_params(&params, 0);
	add_param(&params, "token", token);
	if (token_type_hint != NULL)
		add_param(&params, "token_type_hint", token_type_hint);
	add_client_authentication(client, &params);
	finish_request(client, client->revocation_endpoint, &params, request);
}

void
oauth_request_free(OAuthRequest *request)
{
	if (request->body.data != NULL)
		secret_cleanse(request->body.data, (size_t) request->body.maxlen);
	if (request->authorization != NULL)
		secret_cleanse(request->authorization, strlen(request->authorization));
	memset(request, 0, sizeof(*request));
}
