/*
 * profile.h
 *	  Asking a provider whose account was connected: a definition's "profile", the
 *	  request that it describes, and reading the answer.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_PROFILE_H
#define APPUSER_CONNECTORS_OAUTH_PROFILE_H

#include "oauth/definition_member.h"
#include "oauth/request.h"

#define MAX_PROFILE_ID 255 /* bytes, as an ID token's subject */
#define MAX_PROFILE_NAME 255
#define MAX_PROFILE_VALUE 1024
#define MAX_PROFILE_ANSWER (256 * 1024) /* bytes */

/* The members that it has */
#define PROFILE_MEMBERS 9
extern const Member profile_members[PROFILE_MEMBERS];

/* What is wrong with a definition's, read into client; NULL: nothing, or there is none. */
extern const DefinitionProblem *profile_problem(const JsonValue *definition,
												const OAuthClient *client);

/* What a definition says of it */
extern ProfileRequest profile_read(const JsonValue *definition);

/* With the token that was just granted; client->profile has its fields filled in. */
extern void build_profile_request(const OAuthClient *client, const char *access_token,
								  OAuthRequest *request);

typedef struct ProfileAnswer
{
	char id[MAX_PROFILE_ID + 1];     /* empty: unknown */
	char name[MAX_PROFILE_NAME + 1]; /* for people, or an e-mail address; the same */
	NameValue *values;               /* of the fields that come from it, as they are there */
	int n_values;
	const char *problem; /* what it lacks, and nothing of its words; NULL: nothing */
} ProfileAnswer;

/*
 * Texts of answer are in the current memory context, and the tree that it is read from as
 * well.  What a field may hold is not looked at.
 */
extern void read_profile_answer(const OAuthClient *client, int status, const char *content_type,
								const char *body, size_t len, ProfileAnswer *answer);

#endif
