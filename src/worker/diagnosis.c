/*
 * diagnosis.c
 *	  What went wrong with a call, and what mends it.
 */
#include "postgres.h"

#include "lib/stringinfo.h"

#include "base/text.h"
#include "worker/diagnosis.h"

/* Text of a stranger's, for a person to read, who must not take it for ours */
static const char *
quoted(const char *text)
{
	char *shown = pstrdup(text_shown(text));

	for (char *c = shown; *c != '\0'; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
		else if (*c == '"')
			*c = '\'';
	return psprintf("\"%s\"", shown);
}

/* What the provider says of an error, each empty where it says nothing */
static void
append_words(StringInfo why, const char *error, const char *description)
{
	if (error[0] != '\0')
		appendStringInfo(why, ", error %s",
						 strspn(error, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
									   "0123456789_-.") == strlen(error)
							 ? error
							 : quoted(error));
	if (description[0] != '\0')
		appendStringInfo(why, ": %s", quoted(description));
}

/* With its URL (NULL: without) */
static const char *
named(const char *what, const char *url)
{
	return url != NULL ? psprintf("%s %s", what, quoted(url)) : what;
}

/* There was no answer; what: such as "token endpoint"; shown: the URL, or NULL */
static const char *
diagnose_silence(const char *what, const char *url, const char *shown, const HttpResponse *response)
{
	const char *mend = "";

	if (response->outcome == HTTP_FORBIDDEN)
		mend = strncmp(url, "https:", 6) == 0
				   ? "; if it may be called: allowed_networks or allowed_hosts"
				   : "; http is for development, by allow_insecure_loopback, else by allowed_hosts "
					 "and allowed_networks";
	else if (strstr(response->error, "(appuser_connectors.proxy) is not known") != NULL)
		mend = "; the server log says what is wrong with the setting, or the file that it names";
	else if (strstr(response->error, "appuser_connectors.proxy") != NULL)
		mend = strstr(response->error, "answered 407") != NULL ||
					   strstr(response->error, "answered 401") != NULL
				   ? "; the user name and password in the file that the setting names"
				   : "; whether it runs, and lets this server call that host; no_proxy if it need "
					 "not be asked";
	else if (strstr(response->error, "not yet valid") != NULL)
		mend = "; compare this server's clock with the provider's";
	else if (strstr(response->error, "has expired") != NULL)
		mend = "; the provider has to renew it, unless this server's clock is wrong";
	else if (strstr(response->error, "ertificate") != NULL)
		mend = "; ca_file if the certificate is of an authority of your own, else the provider's "
			   "certificate";
	else if (response->outcome == HTTP_NOT_SENT && !response->local_trouble)
		mend = "; this server's way out (DNS, firewall, proxy), or the host in the definition";
	/* response->detail is for the server log alone: what a name resolves to is no admin's to ask */
	return psprintf("the %s: %s%s", named(what, shown), response->error, mend);
}

static bool
has_endpoint_of_its_own(const OAuthClient *client, RefusedGrant of)
{
	return of == REFUSED_REFRESH_TOKEN && client->refresh_endpoint != NULL;
}

const char *
diagnose_no_answer(const OAuthClient *client, RefusedGrant of, const HttpResponse *response)
{
	return has_endpoint_of_its_own(client, of)
			   ? diagnose_silence("refresh endpoint", client->refresh_endpoint,
								  client->refresh_endpoint, response)
			   : diagnose_silence("token endpoint", client->token_endpoint, client->token_endpoint,
								  response);
}

/* of: what was sent */
static const char *
mend_refusal(const OAuthClient *client, RefusedGrant of, const HttpResponse *response,
			 const TokenResponse *tokens)
{
	bool is_code = of == REFUSED_CODE;

	if (tokens->outcome == TOKEN_INVALID_CLIENT)
		return "correct client_id or client_secret with update_connector(), or "
			   "token_endpoint_auth_method in the definition";
	if (tokens->outcome == TOKEN_INVALID_GRANT)
		return is_code ? "the code was used, has expired, or was given to another redirect URI or "
						 "client: compare client_id and redirect_uris with what is registered at "
						 "the provider"
					   : "the provider has ended the grant, or gave it to another client_id: the "
						 "person connects again";
	if (tokens->outcome == TOKEN_UNAVAILABLE && response->status >= 500 && !is_code)
		return "it is tried again";
	if (tokens->outcome == TOKEN_RATE_LIMITED)
		return is_code ? "the person begins again; max_concurrent_requests_per_connector if it is "
						 "too much at once"
					   : "it is tried again; max_concurrent_requests_per_connector if it is too "
						 "much at once";
	if (strcmp(tokens->error, "invalid_scope") == 0)
		return "correct scopes with update_connector()";
	if (strcmp(tokens->error, "unauthorized_client") == 0 ||
		strcmp(tokens->error, "unsupported_grant_type") == 0)
		return is_code ? "allow the client the authorization code grant at the provider"
					   : "allow the client the refresh token grant at the provider";
	if (tokens->malformed != NULL && strstr(tokens->malformed, "token_type") != NULL)
		return "token_types of the definition lists those that are accepted besides Bearer";
	if (tokens->error[0] == '\0' && (response->status == 404 || response->status == 405 ||
									 (tokens->malformed != NULL && response->status < 500)))
		return has_endpoint_of_its_own(client, of)
				   ? "refresh_endpoint of the definition may be wrong"
				   : "token_endpoint of the definition may be wrong";
	return NULL;
}

const char *
diagnose_refusal(const OAuthClient *client, RefusedGrant of, const HttpResponse *response,
				 const TokenResponse *tokens)
{
	const char *mend = mend_refusal(client, of, response, tokens);
	bool own = has_endpoint_of_its_own(client, of);
	StringInfoData why;

	initStringInfo(&why);
	appendStringInfo(
		&why, "the %s endpoint %s answered with HTTP status %d", own ? "refresh" : "token",
		quoted(own ? client->refresh_endpoint : client->token_endpoint), response->status);
	/* a constant text of ours */
	if (tokens->malformed != NULL)
		appendStringInfo(&why, ", and %s", tokens->malformed);
	append_words(&why, tokens->error, tokens->error_description);
	if (mend != NULL)
		appendStringInfo(&why, "; %s", mend);
	return why.data;
}

const char *
diagnose_revocation(const OAuthClient *client, const HttpResponse *response, const char *error,
					const char *description)
{
	const char *url = client->revocation_endpoint;
	const char *shown = description != NULL ? url : NULL;
	StringInfoData why;

	if (response->outcome != HTTP_ANSWERED)
		return diagnose_silence("revocation endpoint", url, shown, response);
	initStringInfo(&why);
	appendStringInfo(&why, "the %s answered with HTTP status %d",
					 named("revocation endpoint", shown), response->status);
	append_words(&why, error, description != NULL ? description : "");
	if (strcmp(error, "unsupported_token_type") == 0)
		appendStringInfoString(&why, "; the provider revokes no tokens of this kind");
	else if (response->status == 401 || strcmp(error, "invalid_client") == 0)
		appendStringInfoString(&why, "; client_id or client_secret were wrong when it was queued");
	else if (error[0] == '\0' && response->status < 500)
		appendStringInfoString(&why, "; revocation_endpoint of the definition may be wrong");
	return why.data;
}

const char *
diagnose_profile(const OAuthClient *client, const HttpResponse *response, const char *problem)
{
	const char *url = client->profile.url;

	if (problem == NULL)
		return diagnose_silence("profile", url, url, response);
	return psprintf("the profile %s %s%s", quoted(url), problem,
					response->status == 401 || response->status == 403
						? "; it may take a scope that was not asked for: profile of the definition"
						: "; profile of the definition may be wrong");
}

const char *
diagnose_reason(const char *reason)
{
	static const struct
	{
		const char *reason;
		const char *why;
	} known[] = {
		{"no_refresh_token",
		 "the provider gave nothing to renew the token with; ask for it by a scope such as "
		 "offline_access, or authorization_params and consent_params of the definition"},
		{"endpoints_changed",
		 "an admin changed a URL that tokens go to; where the provider has only moved, a "
		 "superuser calls allow_endpoint_change() before that"},
		{"account_changed", "the refresh was answered with an ID token of another account, and "
							"what came with it is revoked; the person connects again"},
		{"connector_stopped",
		 "the provider refuses its client; correct it with update_connector()"},
		{"connector_changed",
		 "it was changed outside update_connector(); call that with everything "
		 "but the name given anew"},
		{"field_missing",
		 "an endpoint of the definition needs a field of connection_config of which this "
		 "connection has no value that fits; the person connects again, or the admin fixes it"},
		{"unreadable",
		 "what is stored cannot be opened; see root key in check_health(), else restore "
		 "the row from a backup, or the person connects again"},
	};

	for (int i = 0; i < (int) lengthof(known); i++)
		if (strcmp(known[i].reason, reason) == 0)
			return psprintf("%s: %s", reason, known[i].why);
	return reason;
}

const char *
diagnose_keys(const OAuthClient *client, const HttpResponse *response)
{
	if (response->outcome != HTTP_ANSWERED)
		return psprintf("the provider's keys could not be fetched: %s",
						diagnose_silence("jwks_uri", client->jwks_uri, client->jwks_uri, response));
	return psprintf("the provider's keys could not be fetched: %s answered with HTTP status %d%s; "
					"jwks_uri of the definition may be wrong",
					quoted(client->jwks_uri), response->status,
					response->status == 200 ? ", and no key set" : "");
}

const char *
diagnose_issuer_keys(const char *issuer, const char *jwks_uri, const HttpResponse *response)
{
	if (response->outcome != HTTP_ANSWERED)
		return psprintf("issuer %s: %s", quoted(issuer),
						diagnose_silence("jwks_uri", jwks_uri, jwks_uri, response));
	return psprintf("issuer %s: the jwks_uri %s answered with HTTP status %d%s; it may be another, "
					"for register_issuer()",
					quoted(issuer), quoted(jwks_uri), response->status,
					response->status == 200 ? ", and no key that can be used" : "");
}

const char *
diagnose_issuer(const OAuthClient *client, const char *iss)
{
	if (iss == NULL)
		return psprintf("the callback has no iss, which the definition promises "
						"(authorization_response_iss_parameter_supported); its issuer is %s",
						quoted(client->issuer));
	return psprintf("the callback's iss is %s, the definition's issuer %s; if the first is right, "
					"register the provider with it, letter by letter",
					quoted(iss), client->issuer != NULL ? quoted(client->issuer) : "none");
}

static char *
algorithm_names(unsigned algorithms)
{
	StringInfoData names;

	initStringInfo(&names);
	for (unsigned bit = JWT_RS256; bit <= JWT_HS512; bit <<= 1)
		if (algorithms & bit)
			appendStringInfo(&names, "%s%s", names.len > 0 ? ", " : "",
							 jwt_algorithm_name((JwtAlgorithm) bit));
	return names.data;
}

/* By another algorithm than is accepted, or by one that is, and not by one of the keys */
static const char *
diagnose_signature(const OAuthClient *client, const char *text, const char *id_token)
{
	const char *name = id_token_algorithm(id_token);
	unsigned algorithm = name != NULL ? jwt_algorithm_by_name(name) : 0;

	if ((algorithm & client->id_token_algorithms) != 0)
		return psprintf("%s; jwks_uri of the definition may be another server's", text);
	if ((algorithm & JWT_HMAC_ALGORITHMS) != 0)
		return psprintf("%s: it is by %s, with the client secret, which is not supported; have the "
						"provider sign by RS256 or ES256",
						text, name);
	/* not by its name, which could be another each time: an event is recorded once */
	if (algorithm == 0)
		return psprintf("%s: it is by no algorithm that is known here, or by none", text);
	return psprintf("%s: it is by %s, and accepted is %s; if the provider is to sign so, "
					"id_token_signed_response_alg of the definition",
					text, name, algorithm_names(client->id_token_algorithms));
}

const char *
diagnose_id_token(const OAuthClient *client, IdTokenResult result, const char *id_token)
{
	const char *text = id_token_result_text(result);

	switch (result)
	{
		case ID_TOKEN_KEY_NOT_FOUND:
			return psprintf("%s; jwks_uri of the definition may be another server's", text);
		case ID_TOKEN_SIGNATURE:
			return diagnose_signature(client, text, id_token);
		case ID_TOKEN_ISSUER:
			return psprintf("%s than issuer of the definition, %s", text, quoted(client->issuer));
		case ID_TOKEN_AUDIENCE:
		case ID_TOKEN_AUTHORIZED_PARTY:
			return psprintf("%s than client_id, %s", text, quoted(client->client_id));
		case ID_TOKEN_EXPIRED:
		case ID_TOKEN_ISSUED_AT:
			return psprintf("%s; compare this server's clock with the provider's", text);
		case ID_TOKEN_NONCE:
			return psprintf("%s; nonce of the definition if the provider sends none", text);
		default:
			return text;
	}
}

const char *
diagnose_callback_error(const char *error)
{
	const char *mend = "";

	if (strcmp(error, "invalid_scope") == 0)
		mend = "; the provider does not know a scope: correct scopes with update_connector()";
	if (strcmp(error, "unauthorized_client") == 0 ||
		strcmp(error, "unsupported_response_type") == 0)
		mend = "; allow the client the authorization code grant at the provider";
	/* which is anybody's to make up */
	return psprintf("the browser came back with this error%s", mend);
}
