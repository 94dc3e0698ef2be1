/*
 * profile.c
 *	  Whose account an exchange has connected, asked of the provider's API with the new
 *	  access token, where no ID token has said it, or a field of connection_config is there.
 *
 * The tokens are saved by then, and whatever is answered they are kept: what is lacking is in
 * the connection's event.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "base/url.h"
#include "oauth/profile.h"
#include "oauth/scope.h"
#include "store/connection.h"
#include "store/connection_config.h"
#include "store/url_field.h"
#include "worker/diagnosis.h"
#include "worker/exchange_details.h"
#include "worker/exchange_store.h"
#include "worker/profile.h"

/* The person waits for it, and can do without. */
#define PROFILE_TIMEOUT 4000 /* ms */

/* Does it have something that is not known otherwise? */
static bool
is_needed(const Flight *flight)
{
	const ExchangeDetails *details = flight->details;
	const OAuthClient *client = &flight->connector->client;

	if (client->profile.id != NULL && details->account.subject[0] == '\0')
		return true;
	for (int i = 0; i < client->n_config_fields; i++)
		if (client->config_fields[i].source == CONFIG_FROM_PROFILE &&
			config_text(details->fixed_config, client->config_fields[i].name) == NULL)
			return true;
	return false;
}

/* Was one of the scopes granted that it takes? */
static bool
is_allowed(const Flight *flight)
{
	const ExchangeDetails *details = flight->details;
	const OAuthClient *client = &flight->connector->client;
	const TokenResponse *tokens = &flight->tokens;
	int count;
	char **held;

	if (client->profile.n_scopes == 0)
		return true;
	held = tokens->has_scope
			   ? scopes_held(client, tokens->scopes, tokens->n_scopes, details->requested,
							 details->n_requested, &count)
			   : scopes_held(client, details->requested, details->n_requested, NULL, 0, &count);
	for (int i = 0; i < client->profile.n_scopes; i++)
		for (int j = 0; j < count; j++)
			if (strcmp(client->profile.scopes[i], held[j]) == 0)
				return true;
	return false;
}

/* What goes on without it: said of the account if that is not known. */
static void
note_lack(ExchangeDetails *details, const char *why)
{
	details->why_profile = details->account.subject[0] == '\0'
							   ? psprintf("the account is unknown: %s", why)
							   : psprintf("some of its profile is not known: %s", why);
}

bool
profile_ask(Flight *flight)
{
	ExchangeDetails *details = flight->details;
	OAuthClient *client = &flight->connector->client;
	ProfileRequest *profile = &client->profile;
	const char *lacking;
	Jsonb *config;

	if (profile->url == NULL || details->failure != NULL || !is_needed(flight) ||
		!is_allowed(flight))
		return false;
	config = exchange_granted_config(flight);
	profile->headers = url_field_params(client, config, profile->headers, &profile->n_headers);
	profile->body = url_field_params(client, config, profile->body, &profile->n_body);
	profile->url = url_field_expand(client, config, profile->url, &lacking);
	if (profile->url == NULL)
	{
		note_lack(details, psprintf("the profile's URL needs field \"%s\" of connection_config",
									lacking != NULL ? lacking : ""));
		return false;
	}
	details->phase = PHASE_PROFILE;
	details->tokens_sent_at = flight->sent_at;
	build_profile_request(client, flight->tokens.access_token, &flight->request);
	flight->request.is_optional = true;
	flight->request.timeout_ms = PROFILE_TIMEOUT;
	return true;
}

static void
take_account(const Flight *flight, const ProfileAnswer *answer)
{
	ExchangeDetails *details = flight->details;
	char *origin = url_origin(flight->connector->client.profile.url);
	char *issuer = origin != NULL ? psprintf(ACCOUNT_OF_PROFILE "%s", origin) : NULL;

	/* what an ID token has said stands */
	if (details->account.subject[0] != '\0' || answer->id[0] == '\0' || issuer == NULL ||
		strlen(issuer) > MAX_ACCOUNT_ISSUER)
		return;
	strlcpy(details->account.subject, answer->id, sizeof(details->account.subject));
	strlcpy(details->account.name, answer->name, sizeof(details->account.name));
	strlcpy(details->account.issuer, issuer, sizeof(details->account.issuer));
}

/* Of these fields what fits; returns the name of one that does not, or NULL. */
static const char *
take_values(Flight *flight, const ProfileAnswer *answer)
{
	TokenResponse *tokens = &flight->tokens;
	NameValue *values = palloc(sizeof(NameValue) * (tokens->n_values + answer->n_values + 1));
	const char *unfit = NULL;

	for (int i = 0; i < tokens->n_values; i++)
		values[i] = tokens->values[i];
	tokens->values = values;
	for (int i = 0; i < answer->n_values; i++)
	{
		const NameValue *value = &answer->values[i];
		const ConfigField *field =
			config_field(&flight->connector->client, value->name, CONFIG_FROM_PROFILE);

		if (field == NULL || !config_value_fits(field, value->value))
			unfit = value->name;
		else
			values[tokens->n_values++] = (NameValue){value->name, pstrdup(value->value)};
	}
	return unfit;
}

static void
read_answer(Flight *flight, const HttpResponse *response)
{
	ExchangeDetails *details = flight->details;
	const OAuthClient *client = &flight->connector->client;
	MemoryContext tree = AllocSetContextCreate(flight->context, "profile", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(tree);
	ProfileAnswer answer;
	const char *unfit;

	read_profile_answer(client, response->status, response->content_type, response->body,
						response->body_len, &answer);
	MemoryContextSwitchTo(old);
	take_account(flight, &answer);
	unfit = take_values(flight, &answer);
	if (answer.problem != NULL)
		note_lack(details, diagnose_profile(client, response, answer.problem));
	else if (unfit != NULL)
		note_lack(details, diagnose_profile(client, response,
											psprintf("answered with a value of field \"%s\" that "
													 "does not fit",
													 unfit)));
	MemoryContextDelete(tree);
}

void
profile_answered(Flight *flight, const HttpResponse *response)
{
	ExchangeDetails *details = flight->details;

	if (response->outcome == HTTP_ANSWERED)
		read_answer(flight, response);
	else
		note_lack(details, diagnose_profile(&flight->connector->client, response, NULL));

	/* the tokens are counted from when they were asked for, and came */
	flight->sent_at = details->tokens_sent_at;
	flight->http_outcome = HTTP_ANSWERED;
	flight->local_trouble = false;
}
