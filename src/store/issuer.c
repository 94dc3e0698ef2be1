/*
 * issuer.c
 *	  Statements on issuers, and the direct scan of them.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "store/issuer.h"
#include "store/store.h"

#define MAX_CACHED 64

typedef struct CachedIssuer
{
	dlist_node node;
	MemoryContext context; /* everything of it, itself included */
	RowVersion version;
	Issuer issuer;
} CachedIssuer;

/* The one used last is in front. */
static dlist_head cache = DLIST_STATIC_INIT(cache);
static int n_cached = 0;

static void cache_drop(CachedIssuer *entry);
static CachedIssuer *cache_add(const Issuer *row, const RowVersion *version);

/* Columns of issuers, in the order of the table */
enum
{
	ANUM_ISSUER = 1,
	ANUM_AUDIENCES,
	ANUM_ALGORITHMS,
	ANUM_APP_USER_TEMPLATE,
	ANUM_CLOCK_SKEW,
	ANUM_JWKS,
	ANUM_JWKS_URI,
	ANUM_HMAC_KEY,
	ANUM_FETCHED_JWKS,
	ANUM_FETCHED_AT
};

typedef struct ReadArg
{
	RowVersion *version;
	Issuer *row;
	IssuerRead result;
} ReadArg;

static bool
visit_issuer(TupleTableSlot *slot, void *arg)
{
	ReadArg *read = arg;
	Issuer *row = read->row;
	RowVersion version;
	Interval *skew;
	char **names;
	int n_names;
	bool is_null;

	version.xmin =
		DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &is_null));
	version.tid = slot->tts_tid;
	if (version.xmin == read->version->xmin && ItemPointerEquals(&version.tid, &read->version->tid))
	{
		read->result = ISSUER_UNCHANGED;
		return false;
	}

	memset(row, 0, sizeof(Issuer));
	row->issuer = slot_text(slot, ANUM_ISSUER);
	if (!slot->tts_isnull[ANUM_AUDIENCES - 1])
		row->audiences = array_to_texts(slot_varlena(slot, ANUM_AUDIENCES), &row->n_audiences);
	names = array_to_texts(slot_varlena(slot, ANUM_ALGORITHMS), &n_names);
	row->algorithms = issuer_algorithms(names, n_names);
	row->app_user_template = slot_text(slot, ANUM_APP_USER_TEMPLATE);
	skew = DatumGetIntervalP(slot_datum(slot, ANUM_CLOCK_SKEW));
	row->clock_skew = skew->day * USECS_PER_DAY + skew->time;
	row->jwks = slot_nullable_varlena(slot, ANUM_JWKS);
	row->jwks_uri = slot_nullable_text(slot, ANUM_JWKS_URI);
	row->hmac_key = slot_nullable_text(slot, ANUM_HMAC_KEY);
	row->fetched_jwks = slot_nullable_text(slot, ANUM_FETCHED_JWKS);
	row->fetched_at = slot_nullable_timestamp(slot, ANUM_FETCHED_AT);
	*read->version = version;
	read->result = ISSUER_READ;
	return false;
}

IssuerRead
store_read_issuer(const char *issuer, RowVersion *version, Issuer *row)
{
	ScanKeyData key;
	ReadArg arg = {version, row, ISSUER_MISSING};

	text_key(&key, 1, issuer);
	store_scan("issuers", "issuers_pkey", GetLatestSnapshot(), &key, 1, visit_issuer, &arg);
	return arg.result;
}

bool
store_put_issuer(const Issuer *issuer, char *const *algorithms, int n_algorithms, TimestampTz now)
{
	static StoreStatement put = {
		"INSERT INTO appuser_connectors.issuers AS i (issuer, audiences, algorithms, "
		"app_user_template, clock_skew, jwks, jwks_uri, hmac_key, created_at, updated_at) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (issuer) DO UPDATE "
		"SET audiences = excluded.audiences, algorithms = excluded.algorithms, "
		"app_user_template = excluded.app_user_template, clock_skew = excluded.clock_skew, "
		"jwks = excluded.jwks, jwks_uri = excluded.jwks_uri, hmac_key = excluded.hmac_key, "
		"fetched_jwks = CASE WHEN i.jwks_uri = excluded.jwks_uri THEN i.fetched_jwks END, "
		"fetched_at = CASE WHEN i.jwks_uri = excluded.jwks_uri THEN i.fetched_at END, "
		"updated_at = excluded.updated_at "
		"WHERE (i.audiences, i.algorithms, i.app_user_template, i.clock_skew, i.jwks, i.jwks_uri, "
		"i.hmac_key) IS DISTINCT FROM (excluded.audiences, excluded.algorithms, "
		"excluded.app_user_template, excluded.clock_skew, excluded.jwks, excluded.jwks_uri, "
		"excluded.hmac_key)"};
	StoreSection section;
	StoreArgs args = {0};
	Interval skew = {.time = issuer->clock_skew};
	bool changed;

	arg_text(&args, issuer->issuer);
	arg_texts(&args, issuer->audiences, issuer->n_audiences);
	if (issuer->audiences == NULL)
		args.nulls[args.count - 1] = 'n';
	arg_texts(&args, algorithms, n_algorithms);
	arg_text(&args, issuer->app_user_template);
	args.types[args.count] = INTERVALOID;
	args.values[args.count] = IntervalPGetDatum(&skew);
	args.nulls[args.count++] = ' ';
	arg_jsonb(&args, issuer->jwks);
	arg_text(&args, issuer->jwks_uri);
	arg_text(&args, issuer->hmac_key);
	arg_timestamp(&args, now);
	store_begin(&section, NULL);
	changed = store_run(&section, &put, &args) > 0;
	store_end(&section);
	return changed;
}

bool
store_delete_issuer(const char *issuer)
{
	static StoreStatement delete = {"DELETE FROM appuser_connectors.issuers WHERE issuer = $1"};
	StoreSection section;
	StoreArgs args = {0};
	bool found;

	arg_text(&args, issuer);
	store_begin(&section, NULL);
	found = store_run(&section, &delete, &args) > 0;
	store_end(&section);
	return found;
}

bool
store_put_issuer_keys(const char *issuer, const char *jwks_uri, const char *jwks, TimestampTz now)
{
	static StoreStatement put = {
		"UPDATE appuser_connectors.issuers SET fetched_jwks = $3, fetched_at = $4 "
		"WHERE issuer = (SELECT issuer FROM appuser_connectors.issuers "
		"WHERE issuer = $1 AND jwks_uri = $2 FOR NO KEY UPDATE SKIP LOCKED)"};
	static StoreStatement look = {"SELECT 1 FROM appuser_connectors.issuers "
								  "WHERE issuer = $1 AND jwks_uri = $2"};
	StoreSection section;
	StoreArgs args = {0};
	bool held;

	/* SKIP LOCKED is about rows: the statement would wait for LOCK TABLE */
	if (!ConditionalLockRelationOid(store_relation("issuers"), RowExclusiveLock))
		return false;
	arg_text(&args, issuer);
	arg_text(&args, jwks_uri);
	store_begin(&section, NULL);
	held = store_run(&section, &look, &args) > 0;
	arg_text(&args, jwks);
	arg_timestamp(&args, now);
	if (held)
		held = store_run(&section, &put, &args) == 0;
	store_end(&section);
	return !held;
}

char **
store_issuers_fetched_before(TimestampTz time, int *count)
{
	static StoreStatement get = {"SELECT issuer FROM appuser_connectors.issuers "
								 "WHERE jwks_uri IS NOT NULL AND fetched_at < $1"};
	StoreSection section;
	StoreArgs args = {0};
	char **issuers;

	/* whoever locks the table must not hold up what else is due */
	*count = 0;
	if (!ConditionalLockRelationOid(store_relation("issuers"), AccessShareLock))
		return NULL;
	arg_timestamp(&args, time);
	store_begin(&section, NULL);
	*count = (int) store_run(&section, &get, &args);
	issuers = palloc(sizeof(char *) * (*count + 1));
	for (int i = 0; i < *count; i++)
		issuers[i] = result_text(&section, i, 1);
	store_end(&section);
	return issuers;
}

unsigned
issuer_algorithms(char *const *names, int count)
{
	unsigned algorithms = 0;

	for (int i = 0; i < count; i++)
	{
		JwtAlgorithm algorithm = jwt_algorithm_by_name(names[i]);

		if (algorithm == 0)
			return 0;
		algorithms |= algorithm;
	}
	return algorithms;
}

bool
issuer_may_fetch(TimestampTz fetched_at)
{
	TimestampTz now = GetCurrentTimestamp();

	/* a clock that went back must not stop it */
	return TIMESTAMP_IS_NOEND(fetched_at) || fetched_at > now ||
		   TimestampDifferenceExceeds(fetched_at, now, ISSUER_KEYS_COOLDOWN);
}

static CachedIssuer *
cache_find(const char *issuer)
{
	dlist_iter iter;

	dlist_foreach (iter, &cache)
	{
		CachedIssuer *entry = dlist_container(CachedIssuer, node, iter.cur);

		if (strcmp(entry->issuer.issuer, issuer) == 0)
			return entry;
	}
	return NULL;
}

const Issuer *
issuer_find(const char *issuer)
{
	CachedIssuer *entry = cache_find(issuer);
	RowVersion version = {0};
	Issuer row;

	if (entry != NULL)
		version = entry->version;
	switch (store_read_issuer(issuer, &version, &row))
	{
		case ISSUER_UNCHANGED:
			dlist_move_head(&cache, &entry->node);
			return &entry->issuer;
		case ISSUER_MISSING:
			if (entry != NULL)
				cache_drop(entry);
			return NULL;
		case ISSUER_READ:
			break;
	}
	if (entry != NULL)
		cache_drop(entry);
	if (n_cached >= MAX_CACHED)
		cache_drop(dlist_tail_element(CachedIssuer, node, &cache));
	return &cache_add(&row, &version)->issuer;
}

static void
cache_drop(CachedIssuer *entry)
{
	dlist_delete(&entry->node);
	n_cached--;
	MemoryContextDelete(entry->context);
}

static void
free_keys(void *arg)
{
	jwt_keys_free(((CachedIssuer *) arg)->issuer.keys);
}

/* Copies what using it takes, not the keys' text. */
static CachedIssuer *
cache_add(const Issuer *row, const RowVersion *version)
{
	MemoryContext context =
		AllocSetContextCreate(CurrentMemoryContext, "identity issuer", ALLOCSET_SMALL_SIZES);
	CachedIssuer *entry = MemoryContextAllocZero(context, sizeof(CachedIssuer));
	MemoryContextCallback *callback = MemoryContextAlloc(context, sizeof(MemoryContextCallback));
	Issuer *issuer = &entry->issuer;
	const char *jwks = "{\"keys\":[]}";
	int usable;

	entry->context = context;
	entry->version = *version;
	callback->func = free_keys;
	callback->arg = entry;
	MemoryContextRegisterResetCallback(context, callback);

	issuer->issuer = MemoryContextStrdup(context, row->issuer);
	issuer->algorithms = row->algorithms;
	issuer->app_user_template = MemoryContextStrdup(context, row->app_user_template);
	issuer->clock_skew = row->clock_skew;
	issuer->fetched_at = row->fetched_at;
	issuer->n_audiences = row->n_audiences;
	if (row->audiences != NULL)
		issuer->audiences = MemoryContextAlloc(context, sizeof(char *) * (row->n_audiences + 1));
	for (int i = 0; i < row->n_audiences; i++)
		issuer->audiences[i] = MemoryContextStrdup(context, row->audiences[i]);
	if (row->hmac_key != NULL)
	{
		issuer->hmac_key = MemoryContextStrdup(context, row->hmac_key);
		issuer->algorithms &= JWT_HMAC_ALGORITHMS;
	}
	else
	{
		if (row->jwks_uri != NULL)
			issuer->jwks_uri = MemoryContextStrdup(context, row->jwks_uri);
		if (row->jwks != NULL)
			jwks = JsonbToCString(NULL, &row->jwks->root, VARSIZE_ANY_EXHDR(row->jwks));
		else if (row->fetched_jwks != NULL)
			jwks = row->fetched_jwks;
		issuer->algorithms &= ~JWT_HMAC_ALGORITHMS;
		issuer->keys = jwt_keys_parse(jwks, strlen(jwks), &usable);
		if (issuer->keys == NULL)
			ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
							errmsg("the stored keys of issuer \"%s\" cannot be read", row->issuer),
							errhint("Register the issuer again.")));
	}

	MemoryContextSetParent(context, TopMemoryContext);
	dlist_push_head(&cache, &entry->node);
	n_cached++;
	return entry;
}
