/*
 * sandbox.c
 *	  The provider's test system, as its definition describes it.
 *
 * Pure functions over JSON.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "oauth/definition_value.h"
#include "oauth/profile.h"
#include "oauth/sandbox.h"

static const Member sandbox_members[] = {
	{"authorization_endpoint", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"token_endpoint", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"refresh_endpoint", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"revocation_endpoint", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"jwks_uri", MEMBER_ENDPOINT, NULL},
	{"api_base_url", MEMBER_ENDPOINT_TEMPLATE, NULL},
	{"issuer", MEMBER_NAME, NULL},
	{"iss_parameter", MEMBER_CHOICE, "checked|ignored"},
	{"profile", MEMBER_OBJECT, NULL, profile_members, PROFILE_MEMBERS},
};

static const char *const of_the_server[] = {"refresh_endpoint",
											"long_token_endpoint",
											"revocation_endpoint",
											"jwks_uri",
											"issuer",
											"api_base_url",
											"profile"};

/* Tokens of a sandbox are nothing for the provider's own system, nor its word for the sandbox. */
static bool
is_left_out(const JsonValue *definition, const JsonValue *sandbox, const char *name)
{
	const char *own = definition_text(definition, "token_endpoint");
	const char *other = definition_text(sandbox, "token_endpoint");

	if (other == NULL || (own != NULL && strcmp(own, other) == 0))
		return false;
	for (int i = 0; i < (int) lengthof(of_the_server); i++)
		if (strcmp(of_the_server[i], name) == 0)
			return true;
	return false;
}

static void
add_member(JsonValue *object, const JsonValue *member)
{
	JsonValue *copy = palloc(sizeof(JsonValue));

	*copy = *member;
	copy->next = NULL;
	if (object->last != NULL)
		object->last->next = copy;
	else
		object->first = copy;
	object->last = copy;
	object->n_children++;
}

const JsonValue *
sandbox_definition(const JsonValue *definition)
{
	const JsonValue *sandbox = definition_member(definition, "sandbox");
	JsonValue *object;

	if (sandbox == NULL || sandbox->type != JSON_TOKEN_OBJECT_START)
		return NULL;
	object = palloc0(sizeof(JsonValue));
	object->type = JSON_TOKEN_OBJECT_START;
	for (const JsonValue *member = definition->first; member != NULL; member = member->next)
		if (json_member(sandbox, member->name) == NULL && strcmp(member->name, "sandbox") != 0 &&
			!is_left_out(definition, sandbox, member->name))
			add_member(object, member);
	for (const JsonValue *member = sandbox->first; member != NULL; member = member->next)
		add_member(object, member);
	return object;
}

const DefinitionProblem *
sandbox_problem(const JsonValue *definition)
{
	const JsonValue *sandbox = definition_member(definition, "sandbox");
	const DefinitionProblem *found;

	if (sandbox == NULL)
		return NULL;
	found = members_problem(sandbox, sandbox_members, lengthof(sandbox_members));
	if (found == NULL)
		return NULL;
	switch (found->fault)
	{
		case DEFINITION_UNKNOWN_NAME:
			return definition_problem_make(
				DEFINITION_INVALID_VALUE, "sandbox",
				psprintf("\"%s\" is an unknown name; known are %s.", found->name, found->detail));
		case DEFINITION_INVALID_VALUE:
			return definition_problem_make(DEFINITION_INVALID_VALUE, "sandbox",
										   psprintf("\"%s\": %s", found->name, found->detail));
		case DEFINITION_NOT_AN_OBJECT:
		case DEFINITION_LACKS_ENDPOINT:
			break;
	}
	return definition_problem_make(DEFINITION_INVALID_VALUE, "sandbox",
								   "It must be an object of endpoints.");
}
