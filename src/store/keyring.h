/*
 * keyring.h
 *	  The root key, which is not in the database, and the data keys, which are,
 *	  sealed under it.
 */
#ifndef APPUSER_CONNECTORS_STORE_KEYRING_H
#define APPUSER_CONNECTORS_STORE_KEYRING_H

#include "lib/stringinfo.h"

#include "crypto/seal.h"

extern Size keyring_shmem_size(void);
extern void keyring_shmem_init(void);

/*
 * Reads the root key from its file or command and publishes it; called by the
 * launcher, at start and on reload.  A failure is logged, and keeps the key
 * there is.
 */
extern void keyring_load(void);

/* Is there a root key?  Waits for the launcher's first attempt. */
extern bool keyring_available(void);

/*
 * What was wrong with the root key when the launcher read it last, though an older one may
 * be in force; false: nothing, or it has not read it yet.  Whoever asks for a token sees it:
 * it names the setting, not the file, whose place is for superusers to know.
 */
typedef struct KeyProblem
{
	char detail[256]; /* a clause */
	char hint[256];   /* sentences */
} KeyProblem;
extern bool keyring_problem(KeyProblem *problem);

/*
 * Makes the first data key, if there is none yet, and the installation; true when it
 * made that, whose row is not sealed yet (see adoption.h, which is to be called instead).
 */
extern bool keyring_ensure(void);

/* Does the root key, which must be available, open the data key that there must be by now? */
extern bool keyring_fits(void);

/* Raises UC008 where nothing can be sealed: no active data key, or none that opens. */
extern void keyring_check(void);

/*
 * Seals under the active data key.  aad is a record that says what the value is
 * and whose.  Raises UC008.
 */
extern bytea *keyring_seal(StringInfo aad, const char *plain, int len);

/* What became of a value that was sealed to authenticate something */
typedef enum SealCheck
{
	SEAL_HOLDS,
	SEAL_BROKEN, /* something was altered, or it belongs elsewhere */
	SEAL_UNKNOWN /* no key is there to open it, and nothing else can be opened either */
} SealCheck;

/* Looks whether it opens.  Raises nothing for want of a key. */
extern SealCheck keyring_check_seal(StringInfo aad, const bytea *sealed);

/*
 * Was this sealed under a key of this database?  To ask before opening what a
 * stranger may have made, whose key is not missing but was never there.
 */
extern bool keyring_knows(const bytea *sealed);

/*
 * Opens: secret_alloc'ed and NUL-terminated, *len bytes.  NULL when the value
 * was altered or belongs elsewhere, also to a key that was never here.  Raises
 * UC008 when its key, or every key, is unavailable.
 */
extern char *keyring_open(StringInfo aad, const bytea *sealed, int *len);

#endif
