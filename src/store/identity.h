/*
 * identity.h
 *	  The session's app user: who the current transaction acts for.
 */
#ifndef APPUSER_CONNECTORS_STORE_IDENTITY_H
#define APPUSER_CONNECTORS_STORE_IDENTITY_H

#include "datatype/timestamp.h"

#define MAX_APP_USER 512 /* bytes */

/* The app user of this transaction, or NULL.  An expired one counts as none. */
extern const char *identity_app_user(void);

/* The same, but raises 28000. */
extern const char *identity_require_app_user(void);

/* Raises 22023 unless text can name an app user. */
extern void identity_check_name(const char *app_user);

/*
 * Sets the app user (NULL: nobody), until the transaction ends or, with is_local
 * false, the session.  It counts as none from expires_at on (DT_NOEND: never).
 * Raises 42501 in a security-restricted operation.
 */
extern void identity_set(const char *app_user, bool is_local, TimestampTz expires_at);

/* DISCARD ALL */
extern void identity_discard(void);

/*
 * Whose rows row security lets the extension's own statements see (empty: nobody's),
 * while store.c runs them; takes precedence over the session's app user, which
 * current_app_user() goes on telling to code of others that runs inside.  Nests; to be
 * called in a transaction.  An error ends what was begun in its (sub)transaction.
 */
extern void identity_act_for(const char *app_user);
extern void identity_act_end(void);

/* Whose rows row security shows now: that one, or the session's.  NULL: nobody's. */
extern const char *identity_visible_app_user(void);

extern void identity_init(void);

#endif
