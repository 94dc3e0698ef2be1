/*
 * keyring.c
 *	  The root key, which is not in the database, and the data keys, which are,
 *	  sealed under it.
 *
 * The launcher reads the root key and publishes it in shared memory, also on a
 * standby; no backend runs the command.  A data key is unwrapped at its first use
 * in a process and kept: ids are random, so an id never means another key.
 * Knows nothing of OAuth.
 */
#include "postgres.h"

#include <sys/stat.h>
#include <unistd.h>

#include "access/skey.h"
#include "access/stratnum.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/errors.h"
#include "base/record.h"
#include "base/secret.h"
#include "base/settings.h"
#include "store/installation.h"
#include "store/keyring.h"
#include "store/secret_file.h"
#include "store/shared_state.h"
#include "store/store.h"

/* Columns of encryption_keys, in the order of the table */
enum
{
	ANUM_KEY_ID = 1,
	ANUM_STATE,
	ANUM_WRAPPED_KEY
};

#define ROOT_KEY_HEX (2 * SEAL_KEY_BYTES)
#define FIRST_LOAD_TIMEOUT 10000 /* ms */

typedef enum RootKeyState
{
	ROOT_KEY_NOT_READ, /* the launcher has not come to it yet */
	ROOT_KEY_READ,
	ROOT_KEY_FAILED
} RootKeyState;

typedef struct KeyringShmem
{
	RootKeyState state;
	uint8 root_key[SEAL_KEY_BYTES];
	KeyProblem problem; /* of the last reading; detail is empty: none */
	ConditionVariable changed;
} KeyringShmem;

static KeyringShmem *shared = NULL;

/* Unwrapped data keys of this process */
typedef struct CachedKey
{
	struct CachedKey *next;
	uint32 key_id;
	bool active; /* said its row, which was authentic, when it was read */
	SealKey *key;
} CachedKey;

static CachedKey *cached_keys = NULL;

static bool refuse_key(KeyProblem *problem, const char *hint, const char *format, ...)
	pg_attribute_printf(3, 4);
static bool read_key_file(const char *path, char *hex, KeyProblem *problem);
static bool run_key_command(const char *command, char *hex, KeyProblem *problem);
static SealKey *root_key(void);
static CachedKey *data_key(uint32 key_id);
static StringInfo data_key_aad(uint32 key_id, const char *state);

Size
keyring_shmem_size(void)
{
	return sizeof(KeyringShmem);
}

void
keyring_shmem_init(void)
{
	bool found;

	shared = ShmemInitStruct("appuser_connectors keyring", sizeof(KeyringShmem), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(KeyringShmem));
		ConditionVariableInit(&shared->changed);
	}
}

static bool
refuse_key(KeyProblem *problem, const char *hint, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(problem->detail, sizeof(problem->detail), format, args);
	va_end(args);
	strlcpy(problem->hint, hint, sizeof(problem->hint));
	return false;
}

static bool
read_key_file(const char *path, char *hex, KeyProblem *problem)
{
	struct stat status;
	FILE *file;
	size_t length;

	if (!is_absolute_path(path))
		return refuse_key(problem,
						  "Give the absolute path of the file in appuser_connectors.root_key_file, "
						  "and reload.",
						  "root_key_file is not an absolute path");
	if (secret_is_in_data_directory(path))
		return refuse_key(problem,
						  "Move the file to where no backup of the database takes it along, set "
						  "appuser_connectors.root_key_file to it, and reload.",
						  "root_key_file is inside the data directory");
	if (stat(path, &status) != 0)
		return refuse_key(problem,
						  "Put the key that this database was used with there, or for a new one "
						  "make it by openssl rand -hex 32 under umask 077; or correct "
						  "appuser_connectors.root_key_file. Then reload.",
						  "root_key_file could not be found: %m");
	switch (secret_file_fault(&status))
	{
		case SECRET_FILE_FIT:
			break;
		case SECRET_FILE_NOT_REGULAR:
			return refuse_key(problem,
							  "Set appuser_connectors.root_key_file to a regular file, and reload.",
							  "root_key_file is not a regular file");
		case SECRET_FILE_OWNER:
			return refuse_key(problem,
							  "Give the file to the server's operating system user by chown, and "
							  "reload.",
							  "root_key_file is not owned by the server's user or root");
		case SECRET_FILE_MODE:
			return refuse_key(
				problem,
				"Run chmod 0600 on it (0640 if root owns it), and reload; if others could "
				"read it, change the key.",
				"root_key_file is more open than 0640");
	}
	file = AllocateFile(path, "r");
	if (file == NULL)
		return refuse_key(problem,
						  "Let the server's operating system user read it by chown or chmod, and "
						  "reload.",
						  "root_key_file could not be read: %m");
	length = fread(hex, 1, ROOT_KEY_HEX + 2, file);
	hex[length] = '\0';
	FreeFile(file);
	return true;
}

/*
 * However long the command takes, this process must go on taking part in what all
 * processes must notice (ProcSignalBarrier), or no database could be dropped.
 */
static size_t
read_command(FILE *pipe, char *bytes, size_t size)
{
	int fd = fileno(pipe);
	size_t length = 0;

	(void) pg_set_noblock(fd);
	while (length < size)
	{
		ssize_t got = read(fd, bytes + length, size - length);

		if (got > 0)
			length += got;
		else if (got < 0 && (errno == EAGAIN || errno == EINTR))
		{
			(void) WaitLatchOrSocket(MyLatch,
									 WL_LATCH_SET | WL_SOCKET_READABLE | WL_EXIT_ON_PM_DEATH, fd,
									 -1, PG_WAIT_EXTENSION);
			ResetLatch(MyLatch);
			CHECK_FOR_INTERRUPTS();
		}
		else
			break;
	}
	SetLatch(MyLatch); /* for what else it was set meanwhile */
	return length;
}

static bool
run_key_command(const char *command, char *hex, KeyProblem *problem)
{
	static const char hint[] = "Run the command as the server's operating system user: it must "
							   "print 64 hexadecimal digits and end with status 0. Then reload.";
	FILE *pipe = OpenPipeStream(command, "r");
	size_t length;
	int status;

	if (pipe == NULL)
		return refuse_key(problem, hint, "root_key_command could not be run: %m");
	length = read_command(pipe, hex, ROOT_KEY_HEX + 2);
	hex[length] = '\0';
	status = ClosePipeStream(pipe);
	if (status != 0)
		return refuse_key(problem, hint, "root_key_command failed with exit status %d",
						  WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	return true;
}

static bool
decode_hex_key(char *hex, uint8 *key)
{
	size_t length = strlen(hex);

	while (length > 0 && (hex[length - 1] == '\n' || hex[length - 1] == '\r'))
		hex[--length] = '\0';
	if (length != ROOT_KEY_HEX || strspn(hex, "0123456789abcdefABCDEF") != ROOT_KEY_HEX)
		return false;
	for (int i = 0; i < SEAL_KEY_BYTES; i++)
	{
		char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

		key[i] = (uint8) strtoul(digits, NULL, 16);
	}
	return true;
}

void
keyring_load(void)
{
	char hex[ROOT_KEY_HEX + 3] = {0};
	uint8 key[SEAL_KEY_BYTES];
	KeyProblem problem = {0};
	bool by_file = guc_root_key_file[0] != '\0';
	bool by_command = guc_root_key_command[0] != '\0';
	bool read = false;

	if (by_file && by_command)
		refuse_key(&problem,
				   "Set one of appuser_connectors.root_key_file and "
				   "appuser_connectors.root_key_command, not both, and reload.",
				   "both root_key_file and root_key_command are set");
	else if (by_file)
		read = read_key_file(guc_root_key_file, hex, &problem);
	else if (by_command)
		read = run_key_command(guc_root_key_command, hex, &problem);
	else
		refuse_key(&problem,
				   "Set appuser_connectors.root_key_file to a file with 64 hexadecimal digits "
				   "(openssl rand -hex 32), or appuser_connectors.root_key_command, and reload.",
				   "neither root_key_file nor root_key_command is set");

	if (read && !decode_hex_key(hex, key))
		read = refuse_key(&problem,
						  "It must be 64 hexadecimal digits, as openssl rand -hex 32 prints them, "
						  "and nothing else. Correct it and reload.",
						  "the root key is not %d hexadecimal digits", ROOT_KEY_HEX);

	LWLockAcquire(shared_state_lock(), LW_EXCLUSIVE);
	if (read)
	{
		memcpy(shared->root_key, key, SEAL_KEY_BYTES);
		shared->state = ROOT_KEY_READ;
	}
	else if (shared->state != ROOT_KEY_READ)
		shared->state = ROOT_KEY_FAILED;
	shared->problem = problem;
	LWLockRelease(shared_state_lock());
	ConditionVariableBroadcast(&shared->changed);

	secret_cleanse(hex, sizeof(hex));
	secret_cleanse(key, sizeof(key));
	if (!read)
		ereport(LOG, (errmsg("appuser_connectors has no new root key: %s", problem.detail),
					  errhint("%s", problem.hint)));
}

bool
keyring_available(void)
{
	RootKeyState state;
	TimestampTz start = 0;

	for (;;)
	{
		LWLockAcquire(shared_state_lock(), LW_SHARED);
		state = shared->state;
		LWLockRelease(shared_state_lock());
		if (state != ROOT_KEY_NOT_READ)
			break;
		if (start == 0)
		{
			start = GetCurrentTimestamp();
			ConditionVariablePrepareToSleep(&shared->changed);
			continue;
		}
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), FIRST_LOAD_TIMEOUT))
			break;
		(void) ConditionVariableTimedSleep(&shared->changed, 100, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return state == ROOT_KEY_READ;
}

bool
keyring_problem(KeyProblem *problem)
{
	LWLockAcquire(shared_state_lock(), LW_SHARED);
	*problem = shared->problem;
	LWLockRelease(shared_state_lock());
	return problem->detail[0] != '\0';
}

/* The root key, to be freed by the caller at once. */
static SealKey *
root_key(void)
{
	SealKey *key;
	uint8 bytes[SEAL_KEY_BYTES];

	if (shared == NULL)
		shared_state_require_preload();
	if (!keyring_available())
	{
		KeyProblem problem;
		bool is_refused = keyring_problem(&problem);

		ereport(ERROR,
				(errcode(ERRCODE_UC_KEY_UNAVAILABLE), errmsg("the root key is not available"),
				 is_refused ? errdetail("The launcher reports: %s.", problem.detail)
							: errdetail("The launcher has not read it yet."),
				 is_refused ? errhint("%s", problem.hint)
							: errhint("Try again; if it stays so, the server log says why.")));
	}
	LWLockAcquire(shared_state_lock(), LW_SHARED);
	memcpy(bytes, shared->root_key, SEAL_KEY_BYTES);
	LWLockRelease(shared_state_lock());
	key = seal_key_create(bytes, 0);
	secret_cleanse(bytes, sizeof(bytes));
	if (key == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("OpenSSL could not use a key")));
	return key;
}

static StringInfo
data_key_aad(uint32 key_id, const char *state)
{
	StringInfo aad = makeStringInfo();

	record_put_text(aad, "data key");
	record_put_bytes(aad, installation_id(), sizeof(pg_uuid_t));
	record_put_int(aad, key_id);
	record_put_text(aad, state);
	return aad;
}

typedef struct WrappedKey
{
	char *state;
	bytea *key;
} WrappedKey;

static bool
visit_key(TupleTableSlot *slot, void *arg)
{
	WrappedKey *wrapped = arg;

	wrapped->state = slot_text(slot, ANUM_STATE);
	wrapped->key = slot_varlena(slot, ANUM_WRAPPED_KEY);
	return false;
}

static CachedKey *
cache_key(uint32 key_id, bool active, const uint8 *bytes)
{
	CachedKey *entry = MemoryContextAlloc(TopMemoryContext, sizeof(CachedKey));

	entry->key = seal_key_create(bytes, key_id);
	entry->key_id = key_id;
	entry->active = active;
	if (entry->key == NULL)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("OpenSSL could not use a key")));
	entry->next = cached_keys;
	cached_keys = entry;
	return entry;
}

static CachedKey *
cached_key(uint32 key_id)
{
	for (CachedKey *entry = cached_keys; entry != NULL; entry = entry->next)
		if (entry->key_id == key_id)
			return entry;
	return NULL;
}

/* False when there is no such key */
static bool
read_wrapped_key(uint32 key_id, WrappedKey *wrapped)
{
	ScanKeyData scan_key;

	ScanKeyInit(&scan_key, ANUM_KEY_ID, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum((int32) key_id));
	store_scan("encryption_keys", "encryption_keys_pkey", GetLatestSnapshot(), &scan_key, 1,
			   visit_key, wrapped);
	return wrapped->key != NULL;
}

/* Unwraps a data key, or finds it unwrapped.  NULL: there is none, or it does not open. */
static CachedKey *
find_data_key(uint32 key_id, bool *exists)
{
	WrappedKey wrapped = {0};
	uint8 bytes[SEAL_KEY_BYTES];
	StringInfo aad;
	SealKey *root;
	CachedKey *key;
	SealResult result;

	key = cached_key(key_id);
	*exists = true;
	if (key != NULL)
		return key;

	*exists = read_wrapped_key(key_id, &wrapped) &&
			  VARSIZE_ANY_EXHDR(wrapped.key) == SEAL_KEY_BYTES + SEAL_OVERHEAD;
	if (!*exists)
		return NULL;
	aad = data_key_aad(key_id, wrapped.state);
	root = root_key();
	result = seal_open(root, (uint8 *) aad->data, aad->len, (uint8 *) VARDATA_ANY(wrapped.key),
					   VARSIZE_ANY_EXHDR(wrapped.key), bytes);
	seal_key_free(root);
	if (result != SEAL_OK)
	{
		/* its row may have been mended since it was read */
		installation_forget();
		return NULL;
	}
	key = cache_key(key_id, strcmp(wrapped.state, "active") == 0, bytes);
	secret_cleanse(bytes, sizeof(bytes));
	return key;
}

static CachedKey *
data_key(uint32 key_id)
{
	bool exists;
	CachedKey *key = find_data_key(key_id, &exists);

	if (!exists)
		ereport(ERROR,
				(errcode(ERRCODE_UC_KEY_UNAVAILABLE), errmsg("data key %u does not exist", key_id),
				 errdetail("A row of appuser_connectors.encryption_keys is missing or "
						   "malformed."),
				 errhint("Restore the table from a backup.")));
	if (key == NULL)
		ereport(ERROR, (errcode(ERRCODE_UC_KEY_UNAVAILABLE),
						errmsg("data key %u cannot be opened", key_id),
						errdetail("It was sealed under another root key or for another "
								  "installation, or was altered."),
						errhint("Point appuser_connectors.root_key_file or root_key_command to the "
								"root key this database was used with, and reload.")));
	return key;
}

static bool
visit_active_key(TupleTableSlot *slot, void *arg)
{
	if (strcmp(slot_text(slot, ANUM_STATE), "active") != 0)
		return true;
	*(uint32 *) arg = DatumGetInt32(slot_datum(slot, ANUM_KEY_ID));
	return false;
}

/*
 * The id of the key to seal with, 0 when there is none yet.  Never by an old
 * snapshot: another session may have made the first key meanwhile.
 */
static uint32
active_key_id(void)
{
	uint32 key_id = 0;

	store_scan_table("encryption_keys", GetLatestSnapshot(), visit_active_key, &key_id);
	return key_id;
}

bool
keyring_ensure(void)
{
	static StoreStatement lock = {
		"LOCK TABLE appuser_connectors.encryption_keys IN SHARE ROW EXCLUSIVE MODE"};
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.encryption_keys (key_id, state, wrapped_key, created_at) "
		"VALUES ($1, 'active', $2, $3)"};
	StoreSection section;
	StoreArgs none = {0};
	StoreArgs args = {0};
	uint8 bytes[SEAL_KEY_BYTES];
	uint32 key_id;
	StringInfo aad;
	bytea *wrapped;
	SealKey *root;
	SealResult result;
	bool made_installation = installation_ensure();

	if (active_key_id() != 0)
		return made_installation;

	wrapped = palloc(VARHDRSZ + SEAL_KEY_BYTES + SEAL_OVERHEAD);
	SET_VARSIZE(wrapped, VARHDRSZ + SEAL_KEY_BYTES + SEAL_OVERHEAD);
	if (!pg_strong_random(&key_id, sizeof(key_id)) || !pg_strong_random(bytes, sizeof(bytes)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("no random bytes available")));
	key_id = (key_id & 0x7fffffff) | 1; /* positive, and never 0 */
	aad = data_key_aad(key_id, "active");
	root = root_key();
	result =
		seal(root, (uint8 *) aad->data, aad->len, bytes, sizeof(bytes), (uint8 *) VARDATA(wrapped));
	seal_key_free(root);
	secret_cleanse(bytes, sizeof(bytes));
	if (result != SEAL_OK)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("OpenSSL could not seal a key")));

	store_begin(&section, NULL);
	store_run(&section, &lock, &none);
	arg_int(&args, (int32) key_id);
	arg_bytes(&args, wrapped);
	arg_timestamp(&args, GetCurrentTimestamp());
	if (active_key_id() == 0)
		store_run(&section, &insert, &args);
	store_end(&section);
	CommandCounterIncrement();
	return made_installation;
}

/* The id of the key to seal with, which there must be */
static uint32
require_active_key_id(void)
{
	uint32 key_id = active_key_id();

	if (key_id == 0)
		ereport(ERROR, (errcode(ERRCODE_UC_KEY_UNAVAILABLE), errmsg("there is no data key"),
						errhint("Restore appuser_connectors.encryption_keys from a backup.")));
	return key_id;
}

bool
keyring_fits(void)
{
	uint32 key_id = active_key_id();
	bool exists;

	return key_id != 0 && find_data_key(key_id, &exists) != NULL;
}

void
keyring_check(void)
{
	(void) data_key(require_active_key_id());
}

bytea *
keyring_seal(StringInfo aad, const char *plain, int len)
{
	CachedKey *key = data_key(require_active_key_id());
	bytea *sealed;

	/* an old key that somebody has made the active one again */
	if (!key->active)
		ereport(ERROR, (errcode(ERRCODE_UC_KEY_UNAVAILABLE),
						errmsg("data key %u was retired", key->key_id),
						errhint("Restore appuser_connectors.encryption_keys from a backup.")));
	sealed = palloc(VARHDRSZ + len + SEAL_OVERHEAD);
	SET_VARSIZE(sealed, VARHDRSZ + len + SEAL_OVERHEAD);
	if (seal(key->key, (uint8 *) aad->data, aad->len, (const uint8 *) plain, len,
			 (uint8 *) VARDATA(sealed)) != SEAL_OK)
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("OpenSSL could not seal a value")));
	return sealed;
}

bool
keyring_knows(const bytea *sealed)
{
	WrappedKey wrapped = {0};
	uint32 key_id;

	if (!sealed_key_id((const uint8 *) VARDATA_ANY(sealed), VARSIZE_ANY_EXHDR(sealed), &key_id))
		return false;
	return cached_key(key_id) != NULL || read_wrapped_key(key_id, &wrapped);
}

/*
 * Was it sealed under a key that is none of ours?  Where our own key is missing or
 * does not open, that is the trouble, and nothing is said about the value.
 */
static bool
is_foreign(uint32 key_id, const bytea *sealed)
{
	uint32 own = active_key_id();
	bool exists;

	return own != 0 && own != key_id && !keyring_knows(sealed) &&
		   find_data_key(own, &exists) != NULL;
}

SealCheck
keyring_check_seal(StringInfo aad, const bytea *sealed)
{
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(sealed);
	size_t size = VARSIZE_ANY_EXHDR(sealed);
	CachedKey *key;
	uint8 nothing;
	uint32 key_id;
	bool exists;

	if (!sealed_key_id(bytes, size, &key_id) || size != SEAL_OVERHEAD)
		return SEAL_BROKEN;
	if (shared == NULL || (cached_key(key_id) == NULL && !keyring_available()))
		return SEAL_UNKNOWN;
	key = find_data_key(key_id, &exists);
	if (key == NULL)
		return is_foreign(key_id, sealed) ? SEAL_BROKEN : SEAL_UNKNOWN;
	return seal_open(key->key, (uint8 *) aad->data, aad->len, bytes, size, &nothing) == SEAL_OK
			   ? SEAL_HOLDS
			   : SEAL_BROKEN;
}

char *
keyring_open(StringInfo aad, const bytea *sealed, int *len)
{
	const uint8 *bytes = (const uint8 *) VARDATA_ANY(sealed);
	size_t size = VARSIZE_ANY_EXHDR(sealed);
	uint32 key_id;
	char *plain;

	if (!sealed_key_id(bytes, size, &key_id) ||
		(cached_key(key_id) == NULL && is_foreign(key_id, sealed)))
		return NULL;
	plain = secret_alloc(size - SEAL_OVERHEAD);
	if (seal_open(data_key(key_id)->key, (uint8 *) aad->data, aad->len, bytes, size,
				  (uint8 *) plain) != SEAL_OK)
		return NULL;
	*len = (int) (size - SEAL_OVERHEAD);
	plain[*len] = '\0';
	return plain;
}
