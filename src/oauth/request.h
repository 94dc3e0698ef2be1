/*
 * request.h
 *	  Building what an OAuth 2.0 client sends: pure functions over bytes.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_REQUEST_H
#define APPUSER_CONNECTORS_OAUTH_REQUEST_H

#include "lib/stringinfo.h"

#include "oauth/client.h"

/* RFC 7636 §4.1: 32 random bytes as base64url, without the NUL */
#define CODE_VERIFIER_LENGTH 43
#define CODE_CHALLENGE_LENGTH 43

/*
 * A request to be made: a GET if body.data is NULL, else a POST or a DELETE.  body, authorization and
 * secret_url are secret memory: read them, and never append to or free them.
 */
typedef struct OAuthRequest
{
	const char *url;          /* never to be shown if it is secret_url */
	char *secret_url;         /* with parameters, or NULL */
	const char *content_type; /* NULL without content */
	StringInfoData body;
	bool by_delete;
	bool is_optional;    /* what it is for goes on without an answer */
	int timeout_ms;      /* 0: as long as any */
	char *authorization; /* value of the Authorization header, or NULL */
	const NameValue *headers;
	int n_headers;
} OAuthRequest;

typedef struct AuthorizationParams
{
	const char *redirect_uri;
	const char *state;
	const char *code_verifier; /* NULL without PKCE */
	const char *nonce;         /* NULL without openid */
	const char *const *scopes;
	int n_scopes;
} AuthorizationParams;

/*
 * Is this parameter of an authorization request ours, so that nothing an admin adds
 * may have its name?  The one that holds the scopes is too.  What the client's provider
 * calls otherwise, or does not want, leaves its name free; client NULL: nothing is.
 */
extern bool is_authorization_param(const OAuthClient *client, const char *name);

/*
 * The same of the exchange of a code, and of a refresh: what that may send that the
 * protocol has no place for there it sends.
 */
extern bool is_token_param(const OAuthClient *client, const char *name);
extern bool is_refresh_param(const OAuthClient *client, const char *name);
extern bool is_long_token_param(const OAuthClient *client, const char *name);

/*
 * The URL to send the browser to (RFC 6749 §4.1.1, RFC 7636 §4.3).  Query
 * components the endpoint has already are kept (§3.1).
 */
extern void build_authorization_url(const OAuthClient *client, const AuthorizationParams *params,
									StringInfo url);

/*
 * RFC 6749 §4.1.3, RFC 7636 §4.5; code_verifier NULL without PKCE.  The scopes are sent to
 * those that want them here as well.
 */
extern void build_code_request(const OAuthClient *client, const char *code,
							   const char *redirect_uri, const char *code_verifier,
							   char *const *scopes, int n_scopes, OAuthRequest *request);

/* RFC 6749 §6; the scopes, which must have been granted, as above */
extern void build_refresh_request(const OAuthClient *client, const char *refresh_token,
								  char *const *scopes, int n_scopes, OAuthRequest *request);

/* For one that lives longer, where a provider gives none at once: a GET */
extern void build_long_token_request(const OAuthClient *client, const char *access_token,
									 OAuthRequest *request);

/*
 * RFC 7009 §2.1, or as client->revocation has it; token_type_hint is "refresh_token" or
 * "access_token".  token must be one of those that client->revocation.tokens says.
 */
extern void build_revocation_request(const OAuthClient *client, const char *token,
									 const char *token_type_hint, OAuthRequest *request);

/* The value of the Authorization header (RFC 6749 §2.3.1); secret memory */
extern char *basic_authorization(const OAuthClient *client);

/* Overwrites the secrets of a request; their memory goes with its context. */
extern void oauth_request_free(OAuthRequest *request);

/* Is the client secret in a header of its requests? */
extern bool client_has_secret_header(const OAuthClient *client);

/* BASE64URL(SHA256(ASCII(code_verifier))), RFC 7636 §4.2 */
extern void code_challenge_s256(const char *code_verifier,
								char challenge[CODE_CHALLENGE_LENGTH + 1]);

/* application/x-www-form-urlencoded, as WHATWG and RFC 6749 appendix B */
extern void append_form_encoded(StringInfo out, const char *text);

/* In quotes */
extern void append_json_string(StringInfo out, const char *text);

#endif
