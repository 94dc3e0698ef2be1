/*
 * connector_change.c
 *	  Whether whoever changes a connector must know its client secret.
 *
 * An admin who may say where secrets go could have one sent to themselves, or to
 * another's page on the same host, that they must never see.  So whoever changes a
 * URL that secrets go to, or what goes along with them, must know the secret: unless
 * it is the extension's own catalogue that moved, or a superuser has named the URLs.
 * Connections go on at changed URLs in these two cases only.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "base/text.h"
#include "functions/connector_change.h"
#include "oauth/definition_value.h"
#include "store/connector_endpoint.h"

static bool
same_params(const NameValue *a, int n_a, const NameValue *b, int n_b)
{
	if (n_a != n_b)
		return false;
	for (int i = 0; i < n_a; i++)
		if (strcmp(a[i].name, b[i].name) != 0 || !text_equal(a[i].value, b[i].value))
			return false;
	return true;
}

static bool
same_revocation(const RevocationStyle *a, const RevocationStyle *b)
{
	return a->is_own == b->is_own && a->by_delete == b->by_delete && a->auth == b->auth &&
		   a->body_format == b->body_format && text_equal(a->token_parameter, b->token_parameter) &&
		   a->tokens == b->tokens;
}

/* The access token goes there, wherever that is: of no stored token, so no endpoint of theirs. */
static bool
same_profile(const ProfileRequest *a, const ProfileRequest *b)
{
	return text_equal(a->url, b->url) && a->by_post == b->by_post && a->form_body == b->form_body &&
		   same_params(a->body, a->n_body, b->body, b->n_body) &&
		   same_params(a->headers, a->n_headers, b->headers, b->n_headers) &&
		   text_equal(a->token_header, b->token_header) &&
		   text_equal(a->token_scheme, b->token_scheme) &&
		   text_equal(a->token_query, b->token_query);
}

/* Do secrets and tokens go out in the same requests, wherever they go to? */
static bool
same_requests(const OAuthClient *a, const OAuthClient *b)
{
	return a->auth_method == b->auth_method && a->basic_raw == b->basic_raw &&
		   a->token_body_format == b->token_body_format && a->token_by_get == b->token_by_get &&
		   a->refresh_by_get == b->refresh_by_get &&
		   same_revocation(&a->revocation, &b->revocation) &&
		   same_profile(&a->profile, &b->profile) &&
		   same_params(a->token_headers, a->n_token_headers, b->token_headers,
					   b->n_token_headers) &&
		   same_params(a->token_param_names, a->n_token_param_names, b->token_param_names,
					   b->n_token_param_names) &&
		   same_params(a->long_token_params, a->n_long_token_params, b->long_token_params,
					   b->n_long_token_params) &&
		   same_params(a->long_token_param_names, a->n_long_token_param_names,
					   b->long_token_param_names, b->n_long_token_param_names) &&
		   same_params(a->refresh_param_names, a->n_refresh_param_names, b->refresh_param_names,
					   b->n_refresh_param_names) &&
		   same_params(a->token_params, a->n_token_params, b->token_params, b->n_token_params) &&
		   same_params(a->refresh_params, a->n_refresh_params, b->refresh_params,
					   b->n_refresh_params);
}

/*
 * Are the same members of an answer taken for tokens?  Else a refresh token, which nobody
 * sees, could be made one that is handed out.
 */
static bool
same_answers(const OAuthClient *a, const OAuthClient *b)
{
	return a->refresh_by_access_token == b->refresh_by_access_token &&
		   text_equal(a->access_token_path, b->access_token_path) &&
		   text_equal(a->refresh_token_path, b->refresh_token_path);
}

/* RFC 8707: a parameter of these requests as well, and of no catalogue but the connector's own */
static bool
same_resource(const OAuthClient *a, const OAuthClient *b)
{
	return text_equal(a->resource, b->resource);
}

/* Which of a provider's systems it is for is no catalogue's to say either. */
static bool
same_system(const Connector *a, const Connector *b)
{
	return definition_bool(a->options_json, "sandbox", false) ==
		   definition_bool(b->options_json, "sandbox", false);
}

void
connector_check_destination(const Connector *before, Connector *after, bool secret_given)
{
	bool moved = strcmp(before->endpoints, after->endpoints) != 0;
	bool by_catalogue = before->built_in && after->built_in &&
						strcmp(before->provider, after->provider) == 0 &&
						same_system(before, after) && connector_same_fixed_fields(before, after);
	bool by_superuser = before->allowed_endpoints != NULL &&
						strcmp(before->allowed_endpoints, after->endpoints) == 0;

	if (before->client.client_secret != NULL && !secret_given &&
		(!same_resource(&before->client, &after->client) ||
		 !connector_same_fixed_params(before, after) ||
		 (!by_catalogue &&
		  ((moved && !by_superuser) || !same_requests(&before->client, &after->client) ||
		   !same_answers(&before->client, &after->client) ||
		   !connector_same_fields(before, after)))))
		ereport(
			ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("client_secret must be given anew"),
			 moved ? errdetail("The URLs that the secret is sent to change from \"%s\" to "
							   "\"%s\".",
							   before->endpoints, after->endpoints)
				   : errdetail("How the client authenticates, the request's form, the "
							   "parameters and headers that are sent with the secret, what a "
							   "field in its URLs may hold, the value of one that is sent along, "
							   "where the tokens are in an answer or the profile that the access "
							   "token is sent to change."),
			 /* which is of no use for what else has changed */
			 errhint("Give client_secret in the same call of update_connector().%s",
					 moved && same_profile(&before->client.profile, &after->client.profile)
						 ? " Where the provider has moved, a superuser may call "
						   "appuser_connectors.allow_endpoint_change() instead."
						 : "")));
	after->allowed_endpoints = NULL;
	if (!moved)
		return;
	if (by_catalogue || by_superuser)
		connector_keep_endpoints(after, before->endpoints);
	else
		after->n_former_endpoints = 0;
}
