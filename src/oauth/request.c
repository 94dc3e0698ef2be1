/*
 * request.c
 *	  Building what an OAuth 2.0 client sends: the authorization URL, and token and
 *	  revocation requests with their credentials, each as its provider wants them.
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
#include "port.h"

#include "base/base64.h"
#include "base/secret.h"
#include "oauth/request.h"

/* One parameter becomes at most this many bytes, in either format. */
#define MAX_ENCODED_PARAM(name, value) (6 * (strlen(name) + strlen(value)) + 8)

/* Parameters of the protocol itself in a request to the token endpoint */
#define MAX_PROTOCOL_PARAMS 8

/* Values that are not what they seem: made anew for each request, and of the flow */
#define RANDOM_VALUE "{random}"
#define STATE_VALUE "{state}"
#define REDIRECT_VALUE "{redirect_uri}"

/* The client secret as a header's value */
#define SECRET_VALUE "{client_secret}"

typedef struct ParamList
{
	const NameValue *names; /* by which the provider calls them */
	int n_names;
	NameValue *items;
	int count;
} ParamList;

static void init_secret_buffer(StringInfo buffer, size_t size);
static void append_encoded(StringInfo out, const char *text, const char *space);
static void append_query_param(StringInfo url, bool *first, const char *name, const char *value);
static void append_protocol_param(StringInfo url, bool *first, const OAuthClient *client,
								  const char *name, const char *value);
static char *join_scopes(const OAuthClient *client, const char *const *scopes, int n_scopes);
static const char *scope_parameter(const OAuthClient *client);
static const char *provider_name(const NameValue *names, int n_names, const char *name);
static bool is_taken(const char *const *reserved, int n_reserved, const NameValue *names,
					 int n_names, const char *name);
static const char *extra_value(const OAuthClient *client, const char *value);
static const char *header_value(const OAuthClient *client, const char *value);
static void init_params(ParamList *params, const NameValue *names, int n_names, int n_extra);
static void add_param(ParamList *params, const char *name, const char *value);
static void add_client_authentication(const OAuthClient *client, ParamList *params);
static void add_extra(ParamList *params, const OAuthClient *client, const NameValue *extra);
static char *bearer_authorization(const char *token);
static void append_form(StringInfo out, const ParamList *params);
static void append_json(StringInfo out, const ParamList *params);
static void put_into_url(const char *url, const ParamList *params, size_t size,
						 OAuthRequest *request);
static void finish_request(const OAuthClient *client, const char *url, ParamList *params,
						   TokenBodyFormat format, bool by_get, OAuthRequest *request);

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
void
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

/* What the provider calls it; NULL: it does not want it */
static const char *
provider_name(const NameValue *names, int n_names, const char *name)
{
	for (int i = 0; i < n_names; i++)
		if (strcmp(names[i].name, name) == 0)
			return names[i].value;
	return name;
}

static void
append_protocol_param(StringInfo url, bool *first, const OAuthClient *client, const char *name,
					  const char *value)
{
	const char *called =
		provider_name(client->authorization_param_names, client->n_authorization_param_names, name);

	if (called != NULL)
		append_query_param(url, first, called, value);
}

static char *
join_scopes(const OAuthClient *client, const char *const *scopes, int n_scopes)
{
	const char *separator = client->scope_separator != NULL ? client->scope_separator : " ";
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < n_scopes; i++)
	{
		if (i > 0)
			appendStringInfoString(&text, separator);
		appendStringInfoString(&text, scopes[i]);
	}
	return text.data;
}

static bool
is_taken(const char *const *reserved, int n_reserved, const NameValue *names, int n_names,
		 const char *name)
{
	for (int i = 0; i < n_reserved; i++)
	{
		const char *called = provider_name(names, n_names, reserved[i]);

		if (called != NULL && strcmp(name, called) == 0)
			return true;
	}
	return false;
}

/* A request object would replace everything, state and challenge too (RFC 9101 §5). */
bool
is_authorization_param(const OAuthClient *client, const char *name)
{
	static const char *const reserved[] = {
		"response_type",         "client_id", "redirect_uri", "state", "nonce", "code_challenge",
		"code_challenge_method", "request",   "request_uri"};

	return is_taken(reserved, lengthof(reserved),
					client != NULL ? client->authorization_param_names : NULL,
					client != NULL ? client->n_authorization_param_names : 0, name);
}

/* RFC 9562 §5.4.  Should there be no randomness it is empty, which the provider refuses. */
static const char *
extra_value(const OAuthClient *client, const char *value)
{
	uint8 bytes[16];

	if (strcmp(value, STATE_VALUE) == 0)
		return client->state != NULL ? client->state : "";
	if (strcmp(value, REDIRECT_VALUE) == 0)
		return client->redirect_uri != NULL ? client->redirect_uri : "";
	if (strcmp(value, RANDOM_VALUE) != 0)
		return value;
	if (!pg_strong_random(bytes, sizeof(bytes)))
		return "";
	bytes[6] = (bytes[6] & 0x0f) | 0x40;
	bytes[8] = (bytes[8] & 0x3f) | 0x80;
	return psprintf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
					bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7],
					bytes[8], bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14],
					bytes[15]);
}

static const char *
header_value(const OAuthClient *client, const char *value)
{
	if (strcmp(value, SECRET_VALUE) == 0)
		return client->client_secret != NULL ? client->client_secret : "";
	return extra_value(client, value);
}

bool
client_has_secret_header(const OAuthClient *client)
{
	for (int i = 0; i < client->n_token_headers; i++)
		if (strcmp(client->token_headers[i].value, SECRET_VALUE) == 0)
			return true;
	return false;
}

void
build_authorization_url(const OAuthClient *client, const AuthorizationParams *params,
						StringInfo url)
{
	const char *endpoint = client->authorization_endpoint;
	const char *fragment = client->authorization_fragment;

	/* an endpoint has no fragment (§3.1); one here would swallow the query */
	size_t len = strcspn(endpoint, "#");
	const char *query = memchr(endpoint, '?', len);
	bool follows_fragment =
		fragment != NULL && fragment[0] != '\0' && fragment[strlen(fragment) - 1] == '?';
	bool first;

	appendBinaryStringInfo(url, endpoint, (int) len);
	if (follows_fragment)
		appendStringInfo(url, "#%s", fragment);
	else if (query == NULL)
		appendStringInfoChar(url, '?');
	first =
		follows_fragment || query == NULL || endpoint[len - 1] == '?' || endpoint[len - 1] == '&';

	append_protocol_param(url, &first, client, "response_type",
						  client->response_type != NULL ? client->response_type : "code");
	append_protocol_param(url, &first, client, "client_id", client->client_id);
	append_protocol_param(url, &first, client, "redirect_uri", params->redirect_uri);
	/* none at all rather than an empty one, which some refuse */
	if (params->n_scopes > 0 && client->scope_in_authorization)
		append_query_param(url, &first, scope_parameter(client),
						   join_scopes(client, params->scopes, params->n_scopes));
	append_protocol_param(url, &first, client, "state", params->state);
	if (params->code_verifier != NULL)
	{
		char challenge[CODE_CHALLENGE_LENGTH + 1];
		bool plain = client->pkce == PKCE_PLAIN;

		code_challenge_s256(params->code_verifier, challenge);
		append_protocol_param(url, &first, client, "code_challenge",
							  plain ? params->code_verifier : challenge);
		append_protocol_param(url, &first, client, "code_challenge_method",
							  plain ? "plain" : "S256");
	}
	if (params->nonce != NULL)
		append_protocol_param(url, &first, client, "nonce", params->nonce);

	/* RFC 8707 §2.1 */
	if (client->resource != NULL)
		append_query_param(url, &first, "resource", client->resource);

	for (int i = 0; i < client->n_authorization_params; i++)
	{
		const NameValue *extra = &client->authorization_params[i];

		if (!is_authorization_param(client, extra->name) &&
			strcmp(extra->name, scope_parameter(client)) != 0)
			append_query_param(url, &first, extra->name, extra_value(client, extra->value));
	}
	if (fragment != NULL && !follows_fragment)
		appendStringInfo(url, "#%s", fragment);
}

bool
is_token_param(const OAuthClient *client, const char *name)
{
	static const char *const reserved[] = {"grant_type",    "code",          "redirect_uri",
										   "code_verifier", "refresh_token", "client_id",
										   "client_secret", "scope"};
	int n_reserved = lengthof(reserved) - (client != NULL && client->scope_in_exchange ? 0 : 1);

	return is_taken(reserved, n_reserved, client != NULL ? client->token_param_names : NULL,
					client != NULL ? client->n_token_param_names : 0, name);
}

/* Some servers want redirect_uri again at a refresh. */
bool
is_refresh_param(const OAuthClient *client, const char *name)
{
	static const char *const reserved[] = {"grant_type", "code",          "code_verifier",
										   "client_id",  "client_secret", "refresh_token",
										   "scope"};

	return is_taken(reserved, lengthof(reserved),
					client != NULL ? client->refresh_param_names : NULL,
					client != NULL ? client->n_refresh_param_names : 0, name);
}

bool
is_long_token_param(const OAuthClient *client, const char *name)
{
	static const char *const reserved[] = {"access_token", "client_id", "client_secret"};

	return is_taken(reserved, lengthof(reserved),
					client != NULL ? client->long_token_param_names : NULL,
					client != NULL ? client->n_long_token_param_names : 0, name);
}

static void
init_params(ParamList *params, const NameValue *names, int n_names, int n_extra)
{
	params->names = names;
	params->n_names = n_names;
	params->items = palloc(sizeof(NameValue) * (size_t) (MAX_PROTOCOL_PARAMS + n_extra));
	params->count = 0;
}

/* One of the protocol's, by the name that the provider has for it */
static void
add_param(ParamList *params, const char *name, const char *value)
{
	const char *called = provider_name(params->names, params->n_names, name);

	if (called != NULL)
		params->items[params->count++] = (NameValue){called, value};
}

static void
add_extra(ParamList *params, const OAuthClient *client, const NameValue *extra)
{
	params->items[params->count++] = (NameValue){extra->name, extra_value(client, extra->value)};
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

/*
 * §2.3.1: form-encoded first, so that a ':' in the id cannot move the border; some
 * providers do not decode it.
 */
char *
basic_authorization(const OAuthClient *client)
{
	const char *secret = client->client_secret != NULL ? client->client_secret : "";
	StringInfoData credentials;
	StringInfoData header;

	init_secret_buffer(&credentials, 3 * (strlen(client->client_id) + strlen(secret)) + 1);
	if (client->basic_raw)
	{
		appendStringInfoString(&credentials, client->client_id);
		appendStringInfoChar(&credentials, ':');
		appendStringInfoString(&credentials, secret);
	}
	else
	{
		append_form_encoded(&credentials, client->client_id);
		appendStringInfoChar(&credentials, ':');
		append_form_encoded(&credentials, secret);
	}

	init_secret_buffer(&header, strlen("Basic ") + ((size_t) credentials.len + 2) / 3 * 4);
	appendStringInfoString(&header, "Basic ");
	append_base64(&header, (const unsigned char *) credentials.data, (size_t) credentials.len);
	secret_cleanse(credentials.data, (size_t) credentials.len);
	return header.data;
}

/* RFC 6750 §2.1 */
static char *
bearer_authorization(const char *token)
{
	StringInfoData header;

	init_secret_buffer(&header, strlen("Bearer ") + strlen(token));
	appendStringInfoString(&header, "Bearer ");
	appendStringInfoString(&header, token);
	return header.data;
}

static void
append_form(StringInfo out, const ParamList *params)
{
	for (int i = 0; i < params->count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, '&');
		append_form_encoded(out, params->items[i].name);
		appendStringInfoChar(out, '=');
		append_form_encoded(out, params->items[i].value);
	}
}

static void
append_json(StringInfo out, const ParamList *params)
{
	appendStringInfoChar(out, '{');
	for (int i = 0; i < params->count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		append_json_string(out, params->items[i].name);
		appendStringInfoChar(out, ':');
		append_json_string(out, params->items[i].value);
	}
	appendStringInfoChar(out, '}');
}

static void
put_into_url(const char *url, const ParamList *params, size_t size, OAuthRequest *request)
{
	size_t len = strcspn(url, "#");
	bool has_query = memchr(url, '?', len) != NULL;
	bool first = true;
	StringInfoData whole;

	init_secret_buffer(&whole, len + 1 + size);
	appendBinaryStringInfo(&whole, url, (int) len);
	if (!has_query)
		appendStringInfoChar(&whole, '?');
	else
		first = url[len - 1] == '?' || url[len - 1] == '&';
	for (int i = 0; i < params->count; i++)
		append_query_param(&whole, &first, params->items[i].name, params->items[i].value);
	request->url = request->secret_url = whole.data;
}

static void
finish_request(const OAuthClient *client, const char *url, ParamList *params,
			   TokenBodyFormat format, bool by_get, OAuthRequest *request)
{
	NameValue *headers = palloc(sizeof(NameValue) * (size_t) (client->n_token_headers + 1));
	size_t size = 2;

	for (int i = 0; i < params->count; i++)
		size += MAX_ENCODED_PARAM(params->items[i].name, params->items[i].value);

	memset(request, 0, sizeof(*request));
	request->url = url;
	request->content_type =
		format == TOKEN_BODY_JSON ? "application/json" : "application/x-www-form-urlencoded";
	/* which has no body */
	switch (by_get ? TOKEN_BODY_QUERY : format)
	{
		case TOKEN_BODY_FORM:
			init_secret_buffer(&request->body, size);
			append_form(&request->body, params);
			break;
		case TOKEN_BODY_JSON:
			init_secret_buffer(&request->body, size);
			append_json(&request->body, params);
			break;
		case TOKEN_BODY_QUERY:
			put_into_url(url, params, size, request);
			if (by_get)
				request->content_type = NULL;
			else
				init_secret_buffer(&request->body, 0);
			break;
	}
	Assert((size_t) request->body.len <= size);
	pfree(params->items);

	for (int i = 0; i < client->n_token_headers; i++)
		headers[i] = (NameValue){client->token_headers[i].name,
								 header_value(client, client->token_headers[i].value)};
	request->headers = headers;
	request->n_headers = client->n_token_headers;
	request->authorization =
		client->auth_method == CLIENT_SECRET_BASIC ? basic_authorization(client) : NULL;
}

void
build_code_request(const OAuthClient *client, const char *code, const char *redirect_uri,
				   const char *code_verifier, char *const *scopes, int n_scopes,
				   OAuthRequest *request)
{
	ParamList params;

	init_params(&params, client->token_param_names, client->n_token_param_names,
				client->n_token_params);
	add_param(&params, "grant_type", "authorization_code");
	add_param(&params, "code", code);
	add_param(&params, "redirect_uri", redirect_uri);
	if (code_verifier != NULL)
		add_param(&params, "code_verifier", code_verifier);
	if (client->resource != NULL)
		add_param(&params, "resource", client->resource); /* RFC 8707 §2.2 */
	if (client->scope_in_exchange && n_scopes > 0)
		add_param(&params, "scope", join_scopes(client, (const char *const *) scopes, n_scopes));
	add_client_authentication(client, &params);
	for (int i = 0; i < client->n_token_params; i++)
		if (!is_token_param(client, client->token_params[i].name))
			add_extra(&params, client, &client->token_params[i]);
	finish_request(client, client->token_endpoint, &params, client->token_body_format,
				   client->token_by_get, request);
}

void
build_refresh_request(const OAuthClient *client, const char *refresh_token, char *const *scopes,
					  int n_scopes, OAuthRequest *request)
{
	ParamList params;

	init_params(&params, client->refresh_param_names, client->n_refresh_param_names,
				client->n_refresh_params);
	add_param(&params, "grant_type", "refresh_token");
	add_param(&params, "refresh_token", refresh_token);
	if (client->resource != NULL)
		add_param(&params, "resource", client->resource);
	if (client->scope_in_refresh && n_scopes > 0)
		add_param(&params, "scope", join_scopes(client, (const char *const *) scopes, n_scopes));
	add_client_authentication(client, &params);
	for (int i = 0; i < client->n_refresh_params; i++)
	{
		const NameValue *extra = &client->refresh_params[i];

		if (!is_refresh_param(client, extra->name) &&
			strcmp(extra->name, scope_parameter(client)) != 0)
			add_extra(&params, client, extra);
	}
	finish_request(client,
				   client->refresh_endpoint != NULL ? client->refresh_endpoint
													: client->token_endpoint,
				   &params, client->token_body_format, client->refresh_by_get, request);
}

void
build_long_token_request(const OAuthClient *client, const char *access_token, OAuthRequest *request)
{
	ParamList params;

	init_params(&params, client->long_token_param_names, client->n_long_token_param_names,
				client->n_long_token_params);
	add_param(&params, "access_token", access_token);
	add_client_authentication(client, &params);
	for (int i = 0; i < client->n_long_token_params; i++)
		if (!is_long_token_param(client, client->long_token_params[i].name))
			add_extra(&params, client, &client->long_token_params[i]);
	finish_request(client, client->long_token_endpoint, &params, TOKEN_BODY_QUERY, true, request);
}

void
build_revocation_request(const OAuthClient *client, const char *token, const char *token_type_hint,
						 OAuthRequest *request)
{
	const RevocationStyle *how = &client->revocation;
	OAuthClient asking = *client; /* authenticates as it does here */
	TokenBodyFormat format = how->is_own ? how->body_format : client->token_body_format;
	ParamList params;

	switch (how->auth)
	{
		case REVOCATION_AS_TOKEN_ENDPOINT:
			break;
		case REVOCATION_BASIC:
			asking.auth_method = CLIENT_SECRET_BASIC;
			break;
		case REVOCATION_POST:
			asking.auth_method = CLIENT_SECRET_POST;
			break;
		case REVOCATION_BY_NOTHING:
		case REVOCATION_BEARER:
			asking.auth_method = CLIENT_AUTH_NONE;
			break;
	}
	if (how->is_own)
		init_params(&params, client->token_param_names, client->n_token_param_names, 0);
	else
		init_params(&params, NULL, 0, 0);
	if (how->auth != REVOCATION_BEARER)
		add_param(&params, how->token_parameter != NULL ? how->token_parameter : "token", token);
	/* OPTIONAL, and a provider with a way of its own need not know it */
	if (token_type_hint != NULL && !how->is_own)
		add_param(&params, "token_type_hint", token_type_hint);
	if (how->auth != REVOCATION_BY_NOTHING && how->auth != REVOCATION_BEARER)
		add_client_authentication(&asking, &params);
	/* RFC 7009 knows no other way, and no server is known to */
	finish_request(&asking, client->revocation_endpoint, &params,
				   format == TOKEN_BODY_JSON ? TOKEN_BODY_JSON : TOKEN_BODY_FORM, false, request);
	request->by_delete = how->by_delete;
	if (how->auth == REVOCATION_BEARER)
	{
		/* some refuse a type where there is nothing of it */
		request->content_type = NULL;
		request->authorization = bearer_authorization(token);
	}
}

void
oauth_request_free(OAuthRequest *request)
{
	if (request->secret_url != NULL)
		secret_cleanse(request->secret_url, strlen(request->secret_url));
	if (request->body.data != NULL)
		secret_cleanse(request->body.data, (size_t) request->body.maxlen);
	if (request->authorization != NULL)
		secret_cleanse(request->authorization, strlen(request->authorization));
	memset(request, 0, sizeof(*request));
}
