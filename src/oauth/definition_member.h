/*
 * definition_member.h
 *	  The kinds of members that a definition, a connector's options and the declaration of
 *	  a field of connection_config have.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_DEFINITION_MEMBER_H
#define APPUSER_CONNECTORS_OAUTH_DEFINITION_MEMBER_H

#include "oauth/definition_value.h"

#define MAX_CONFIG_FIELDS 32

typedef enum MemberKind
{
	MEMBER_ENDPOINT,          /* a URL that url_endpoint_problem accepts */
	MEMBER_ENDPOINT_TEMPLATE, /* the same, or one with fields in it */
	MEMBER_TEXT,
	MEMBER_NAME, /* a text that others compare byte by byte */
	MEMBER_BOOL,
	MEMBER_SECONDS, /* a number, what is below a second is cut off */
	MEMBER_TEXTS,   /* an array of strings */
	MEMBER_NAMES,
	MEMBER_PARAMS,      /* an object of strings by names of parameters */
	MEMBER_PARAM_NAMES, /* an object of such names, or null, by those in choices */
	MEMBER_HEADERS,     /* an object of headers' values by their names */
	MEMBER_HEADER_NAME, /* where a token goes: Authorization too */
	MEMBER_RESPONSE_TYPE,
	MEMBER_FRAGMENT,     /* of a URL */
	MEMBER_PATH,         /* dotted, in an answer */
	MEMBER_POINTER,      /* a JSON pointer, in an answer */
	MEMBER_OUTCOMES,     /* an object of names in choices by error codes */
	MEMBER_ERROR_CODES,  /* an object of error codes by others */
	MEMBER_REUSE,        /* "safe", "once" or a number of seconds */
	MEMBER_CHOICES,      /* an array of some of the names in choices */
	MEMBER_SCOPES,       /* an array of scopes */
	MEMBER_SCOPE_NAMES,  /* an object of scopes by scopes */
	MEMBER_SCOPE_ARRAYS, /* an object of arrays of scopes by scopes */
	MEMBER_CHOICE,       /* one of the names in choices, separated by '|' */
	MEMBER_RETURN_TARGETS,
	MEMBER_URI_NAMES,     /* an object of names by redirect URIs */
	MEMBER_CONFIG_FIELDS, /* an object of declarations */
	MEMBER_OBJECT         /* an object of the members named; none: whoever knows it looks */
} MemberKind;

typedef struct Member
{
	const char *name;
	MemberKind kind;
	const char *choices;
	const struct Member *members;
	int n_members;
} Member;

typedef enum DefinitionFault
{
	DEFINITION_NOT_AN_OBJECT,
	DEFINITION_UNKNOWN_NAME,   /* name; detail is the names that are known */
	DEFINITION_INVALID_VALUE,  /* of name; detail says what it must be */
	DEFINITION_LACKS_ENDPOINT, /* detail says which are required */
} DefinitionFault;

typedef struct DefinitionProblem
{
	DefinitionFault fault;
	const char *name;
	const char *detail;
} DefinitionProblem;

/* The first unknown name, or value that is not of its member's kind; NULL: none. */
extern const DefinitionProblem *members_problem(const JsonValue *object, const Member *members,
												int n_members);

extern const DefinitionProblem *definition_problem_make(DefinitionFault fault, const char *name,
														const char *detail);

/* What is wrong with declarations of fields: a sentence that names the field; NULL: nothing. */
extern const char *config_fields_problem(const JsonValue *fields);

/* What one of them says */
extern ConfigField config_field_read(const JsonValue *field);

#endif
