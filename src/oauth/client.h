/*
 * client.h
 *	  One OAuth 2.0 client registered at one provider, as the protocol files
 *	  see it.
 *
 * Made from a connector's row by connector.c; read by oauth_request.c and
 * oauth_response.c, which know neither tables nor jsonb.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_CLIENT_H
#define APPUSER_CONNECTORS_OAUTH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

/* How the client authenticates at the token endpoint (RFC 6749 §2.3) */
typedef enum TokenEndpointAuthMethod
{
	CLIENT_SECRET_BASIC,
	CLIENT_SECRET_POST,
	CLIENT_AUTH_NONE
} TokenEndpointAuthMethod;

typedef enum TokenBodyFormat
{
	TOKEN_BODY_FORM, /* application/x-www-form-urlencoded, RFC 6749 */
	TOKEN_BODY_JSON, /* a JSON object of strings, where a provider
								 * needs it */
	TOKEN_BODY_QUERY /* none: the parameters are in the URL */
} TokenBodyFormat;

/* RFC 7636 §4.2 */
typedef enum PkceMethod
{
	PKCE_OFF,
	PKCE_S256,
	PKCE_PLAIN
} PkceMethod;

/* What an expires_in of 0 says */
typedef enum ZeroExpiresIn
{
	ZERO_IS_EXPIRED, /* already expired: refresh before use */
	ZERO_IS_UNKNOWN  /* as if it were absent */
} ZeroExpiresIn;

/* How an answer writes a date */
typedef enum DateFormat
{
	DATE_RFC3339,
	DATE_EPOCH,   /* seconds since 1970 */
	DATE_EPOCH_MS /* milliseconds */
} DateFormat;

typedef struct NameValue
{
	const char *name;
	const char *value;
} NameValue;

/* Who says what a field of connection_config holds */
typedef enum ConfigSource
{
	CONFIG_FROM_ADMIN,
	CONFIG_FROM_USER,           /* connect_app_user() */
	CONFIG_FROM_CALLBACK,       /* the browser, on its way back */
	CONFIG_FROM_TOKEN_RESPONSE, /* the provider */
	CONFIG_FROM_PROFILE         /* the provider, when it is asked whose account it is */
} ConfigSource;

typedef struct ConfigField
{
	const char *name;
	const char *parameter; /* of the callback, where it is called otherwise */
	const char *path; /* a JSON pointer into the answer, where it is not the member so called */
	ConfigSource source;
	const char *pattern;        /* begins with ^ and ends with $; NULL: none */
	const char *const *choices; /* NULL: any */
	int n_choices;
	const char *default_value; /* NULL: none */
} ConfigField;

/* What a request for a revocation is authenticated by */
typedef enum RevocationAuth
{
	REVOCATION_AS_TOKEN_ENDPOINT, /* as requests for tokens are: RFC 7009 §2.1 */
	REVOCATION_BASIC,
	REVOCATION_POST,
	REVOCATION_BY_NOTHING, /* whoever has the token may end it */
	REVOCATION_BEARER      /* the access token itself; there is no body */
} RevocationAuth;

/* Which of a grant's tokens are sent to be revoked */
typedef enum RevokedTokens
{
	REVOKED_BOTH, /* the refresh token first */
	REVOKED_ACCESS_TOKEN,
	REVOKED_REFRESH_TOKEN
} RevokedTokens;

/* How a revocation is asked for; all zero: as RFC 7009 has it */
typedef struct RevocationStyle
{
	bool is_own; /* what follows is the provider's own */
	bool by_delete;
	RevocationAuth auth;
	TokenBodyFormat body_format;
	const char *token_parameter;
	RevokedTokens tokens;
} RevocationStyle;

/* How a provider is asked whose account was connected; all zero: it is not */
typedef struct ProfileRequest
{
	const char *url;
	bool by_post;
	bool form_body;        /* else JSON */
	const NameValue *body; /* of a POST */
	int n_body;
	const NameValue *headers; /* of the API, with its own over them */
	int n_headers;
	const char *const *scopes; /* without one of which it need not be asked; NULL: any will do */
	int n_scopes;

	/* where the access token goes, if not into Authorization: Bearer; NULL: there */
	const char *token_header;
	const char *token_scheme;
	const char *token_query;

	/* JSON pointers into the answer; NULL: it does not say so */
	const char *id;
	const char *email;
	const char *name;
} ProfileRequest;

typedef struct OAuthClient
{
	/* endpoints, names as in RFC 8414; NULL where the provider has none */
	const char *issuer;
	const char *authorization_endpoint;
	const char *token_endpoint;
	const char *refresh_endpoint;    /* of refreshes, where that is another */
	const char *long_token_endpoint; /* takes a new access token for one that lives longer */
	const char *revocation_endpoint;
	const char *jwks_uri;

	const char *client_id;
	const char *client_secret; /* NULL with CLIENT_AUTH_NONE */
	TokenEndpointAuthMethod auth_method;
	TokenBodyFormat token_body_format;
	bool token_by_get;            /* of exchanges, with the parameters in the URL */
	bool refresh_by_get;          /* of refreshes */
	bool refresh_by_access_token; /* there is no refresh token: the access token is sent for one */
	bool basic_raw;               /* client_secret_basic without form encoding */
	const NameValue *token_headers; /* of requests to these endpoints, besides ours */
	int n_token_headers;
	RevocationStyle revocation;
	ProfileRequest profile;

	const char *response_type;          /* NULL: code */
	const char *authorization_fragment; /* without #; if it ends in ?, the parameters follow */

	PkceMethod pkce;
	bool iss_required; /* authorization_response_iss_parameter_supported */
	bool iss_ignored;  /* a callback's iss may say anything */

	bool nonce_optional; /* an ID token may leave it out, though never have another */

	const char *scope_parameter;          /* "scope", or "user_scope" … */
	const char *scope_separator;          /* " ", "," … */
	const char *response_scope_separator; /* in answers, besides a blank and a comma; NULL: that */
	bool scope_in_authorization;          /* which requests it is sent in */
	bool scope_in_exchange;
	bool scope_in_refresh;

	const NameValue *implied_scopes; /* pairs: who holds the first holds the second too */
	int n_implied_scopes;
	const char *const *unreturned_scopes; /* that no answer names, though they were granted */
	int n_unreturned_scopes;
	const char *callback_scope_parameter; /* where the answer names none; NULL: nowhere */

	const char *resource; /* RFC 8707; NULL: none */

	/* what {state} and {redirect_uri} stand for in parameters; NULL: unknown */
	const char *state;
	const char *redirect_uri;

	/* what the provider calls a parameter; a value of NULL: it is not sent */
	const NameValue *authorization_param_names;
	int n_authorization_param_names;
	const NameValue *token_param_names;
	int n_token_param_names;
	const NameValue *refresh_param_names;
	int n_refresh_param_names;

	/* extra parameters; an entry with an empty value is sent empty, and {random} anew each time */
	const NameValue *authorization_params;
	int n_authorization_params;
	const NameValue *consent_params; /* over those, to be asked for consent anew */
	int n_consent_params;
	const NameValue *token_params; /* code exchange */
	int n_token_params;
	const NameValue *refresh_params;
	int n_refresh_params;
	const NameValue *long_token_params;
	int n_long_token_params;
	const NameValue *long_token_param_names;
	int n_long_token_param_names;

	/* reading the token response */
	int64_t default_expires_in; /* seconds when absent; -1 = unknown */
	ZeroExpiresIn zero_expires_in;
	int64_t refresh_token_lifetime;    /* seconds when the answer does not say; 0: unknown */
	bool refresh_token_renewed_by_use; /* not only by another in its place */
	int64_t grant_lifetime;            /* seconds from the consent on; 0: as long as renewed */
	const char *token_path;            /* dotted path of the object that holds the
								 * tokens ("authed_user"); NULL = top level */
	/* dotted paths from the top of members that have other places; NULL: the usual ones */
	const char *access_token_path;
	const char *refresh_token_path;
	const char *expires_in_path;
	const char *refresh_token_expires_in_path; /* NULL: nothing says so */
	const char *expires_at_path; /* when the token ends; NULL: the answer does not say so */
	DateFormat expires_at_format;
	const char *scope_path;       /* of what was granted */
	const char *error_path;       /* of an error's code, besides "error" */
	const char *const *ok_values; /* there, of an answer that is none */
	int n_ok_values;
	const NameValue *error_outcomes; /* codes, and what they mean in a definition's words */
	int n_error_outcomes;
	bool id_token_optional; /* though openid was asked for */

	/* reading the callback */
	const NameValue *callback_param_names;
	int n_callback_param_names;
	bool callback_hmac; /* Shopify's: parameters are authenticated with the client's secret */
	const NameValue *callback_errors; /* codes, and those of the standard in their place */
	int n_callback_errors;

	const char *const *token_types; /* accepted besides Bearer ("bot") */
	int n_token_types;
	const NameValue *token_response_values; /* fields of connection_config, and where they are in
											 * the answer: dotted paths */
	int n_token_response_values;
	const ConfigField *config_fields;
	int n_config_fields;
	unsigned id_token_algorithms; /* bits of JwtAlgorithm */
	bool form_token_response;     /* the body may be form encoded */
} OAuthClient;

#endif
