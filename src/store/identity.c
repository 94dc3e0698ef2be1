/*
 * identity.c
 *	  The session's app user: who the current transaction acts for.
 *
 * Kept in C state of the backend, because whoever can run SQL could SET a
 * custom setting.  It follows the semantics of SET LOCAL and SET: a value set in
 * a subtransaction is restored when that aborts and handed to the parent when it
 * is released; the end of the transaction (and PREPARE TRANSACTION) clears what
 * was local and, on abort, restores the session's value.  Where nothing is set and
 * a superuser trusts whoever sets it, it is the subject of request.jwt.claims, as
 * PostgREST sets it.  Knows no tables.
 */
#include "postgres.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "base/json_tree.h"
#include "base/settings.h"
#include "base/text.h"
#include "store/identity.h"

#define CLAIMS_SETTING "request.jwt.claims"
#define MAX_CLAIMS (64 * 1024) /* bytes */

/* An app user by value: restoring one must not allocate. */
typedef struct Identity
{
	bool is_set;
	TimestampTz expires_at;
	char app_user[MAX_APP_USER + 1]; /* empty: set to nobody */
} Identity;

/* What was there before the first change at a nesting level */
typedef struct SavedIdentity
{
	struct SavedIdentity *outer;
	int nest_level;
	Identity local;
	Identity session;
} SavedIdentity;

static Identity local_identity;
static Identity session_identity;
static SavedIdentity *saved = NULL; /* in TopMemoryContext */

/* Whom the extension's own statements act for, the innermost first: they nest */
typedef struct Acting
{
	struct Acting *outer;
	int nest_level;
	char app_user[FLEXIBLE_ARRAY_MEMBER];
} Acting;

static Acting *acting = NULL; /* in TopTransactionContext */

static void identity_xact_callback(XactEvent event, void *arg);
static void identity_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
									  SubTransactionId parentSubid, void *arg);

void
identity_init(void)
{
	RegisterXactCallback(identity_xact_callback, NULL);
	RegisterSubXactCallback(identity_subxact_callback, NULL);
}

static bool
is_current(const Identity *identity)
{
	return identity->app_user[0] != '\0' && (TIMESTAMP_IS_NOEND(identity->expires_at) ||
											 GetCurrentTimestamp() < identity->expires_at);
}

/* The local one hides the session's, also where it is nobody. */
static const Identity *
identity_in_force(void)
{
	return local_identity.is_set ? &local_identity : &session_identity;
}

/*
 * The claim sub of the request, read anew each time: the setting can change at any
 * moment.  Anything that is not as expected means nobody.
 */
static const char *
trusted_app_user(void)
{
	const char *claims = GetConfigOption(CLAIMS_SETTING, true, false);
	size_t length = claims != NULL ? strlen(claims) : 0;
	const char *sub;

	if (length == 0 || length > MAX_CLAIMS)
		return NULL;
	sub = json_string(json_member(json_parse_object(claims, length), "sub"));
	return sub != NULL && sub[0] != '\0' && strlen(sub) <= MAX_APP_USER && !text_has_controls(sub)
			   ? sub
			   : NULL;
}

const char *
identity_app_user(void)
{
	const Identity *identity = identity_in_force();

	if (identity->is_set)
		return is_current(identity) ? identity->app_user : NULL;
	return guc_trust_request_jwt_claims ? trusted_app_user() : NULL;
}

const char *
identity_require_app_user(void)
{
	const char *app_user = identity_app_user();

	if (app_user == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
						identity_in_force()->app_user[0] != '\0'
							? errmsg("the app user's authentication has expired")
							: errmsg("no app user is set"),
						errhint("Call appuser_connectors.set_app_user() or "
								"appuser_connectors.authenticate_app_user() first, in the same "
								"transaction: the app user ends with it.")));
	return app_user;
}

void
identity_check_name(const char *app_user)
{
	size_t length = strlen(app_user);

	if (length == 0 || length > MAX_APP_USER)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("app user must be 1 to %d bytes long", MAX_APP_USER)));
	if (text_has_controls(app_user))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("app user must not hold control characters")));
}

void
identity_set(const char *app_user, bool is_local, TimestampTz expires_at)
{
	int nest_level = GetCurrentTransactionNestLevel();
	Identity identity = {0};

	/* clearing the session's leaves it to what else may say who it is */
	identity.is_set = is_local || app_user != NULL;
	if (app_user != NULL)
	{
		identity_check_name(app_user);
		identity.expires_at = expires_at;
		strlcpy(identity.app_user, app_user, sizeof(identity.app_user));
	}

	if (!is_local && !guc_allow_session_identity)
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("an app user for the whole session is not allowed"),
						errdetail("A connection pooler could hand the session to another client."),
						errhint("Leave is_local true, or have a superuser set "
								"appuser_connectors.allow_session_identity.")));

	/* as SET ROLE is refused there: whoever runs that code relies on who they are */
	if (InSecurityRestrictedOperation())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("cannot set the app user within security-restricted operation"),
						errhint("A trigger that runs inside one of the extension's statements acts "
								"for its caller's app user.")));

	if (saved == NULL || saved->nest_level < nest_level)
	{
		SavedIdentity *entry = MemoryContextAlloc(TopMemoryContext, sizeof(SavedIdentity));

		entry->outer = saved;
		entry->nest_level = nest_level;
		entry->local = local_identity;
		entry->session = session_identity;
		saved = entry;
	}

	/* As with SET and SET LOCAL, the latest of either kind is in force. */
	if (!is_local)
	{
		session_identity = identity;
		memset(&local_identity, 0, sizeof(local_identity));
	}
	else
		local_identity = identity;
}

void
identity_discard(void)
{
	memset(&local_identity, 0, sizeof(local_identity));
	memset(&session_identity, 0, sizeof(session_identity));
}

void
identity_act_for(const char *app_user)
{
	Acting *entry = MemoryContextAlloc(TopTransactionContext,
									   offsetof(Acting, app_user) + strlen(app_user) + 1);

	entry->outer = acting;
	entry->nest_level = GetCurrentTransactionNestLevel();
	strcpy(entry->app_user, app_user);
	acting = entry;
}

void
identity_act_end(void)
{
	Acting *entry = acting;

	Assert(entry != NULL && entry->nest_level == GetCurrentTransactionNestLevel());
	acting = entry->outer;
	pfree(entry);
}

/* Takes the innermost saved state off the stack, restoring it if asked to. */
static void
pop_saved(bool restore)
{
	SavedIdentity *entry = saved;

	if (restore)
	{
		local_identity = entry->local;
		session_identity = entry->session;
	}
	saved = entry->outer;
	pfree(entry);
}

static void
identity_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PARALLEL_ABORT:
			while (saved != NULL)
				pop_saved(true);
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PREPARE:
			while (saved != NULL)
				pop_saved(false);
			break;
		default:
			return;
	}
	memset(&local_identity, 0, sizeof(local_identity));
	acting = NULL;
}

static void
identity_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
						  SubTransactionId parentSubid, void *arg)
{
	int nest_level = GetCurrentTransactionNestLevel();

	/* an EXCEPTION block of a trigger ends what was begun inside it, nothing else */
	if (event == SUBXACT_EVENT_ABORT_SUB)
		while (acting != NULL && acting->nest_level >= nest_level)
			acting = acting->outer;
	if (saved == NULL || saved->nest_level < nest_level)
		return;

	if (event == SUBXACT_EVENT_ABORT_SUB)
		pop_saved(true);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		/* The parent takes over what was saved, unless it has saved its own. */
		if (saved->outer != NULL && saved->outer->nest_level == nest_level - 1)
			pop_saved(false);
		else
			saved->nest_level = nest_level - 1;
	}
}

const char *
identity_visible_app_user(void)
{
	return acting != NULL ? acting->app_user : identity_app_user();
}
