/*
 * issuer.c
 *	  Statements on issuers, and the direct scan of them.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "store/issuer.h"
#include "store/row_seal.h"
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
	ANUM_FETCHED_AT,
	ANUM_TOKEN_TYPES,
	ANUM_SEAL = 14
};

typedef struct ReadArg
{
	RowVersion *known;
	RowVersion version;
	Issuer *row;
	IssuerRead result;
} ReadArg;

static bool
same_version(RowVersion *a, RowVersion *b)
{
	return a->seal != NULL && b->seal != NULL && a->xmin == b->xmin &&
		   ItemPointerEquals(&a->tid, &b->tid) &&
		   datumIsEqual(PointerGetDatum(a->seal), PointerGetDatum(b->seal), false, -1);
}

static bool
visit_issuer(TupleTableSlot *slot, void *arg)
{
	ReadArg *read = arg;
	Issuer *row = read->row;
	Interval *skew;
	bool is_null;

	read->version.xmin =
		DatumGetTransactionId(slot_getsysattr(slot, MinTransactionIdAttributeNumber, &is_null));
	read->version.tid = slot->tts_tid;
	read->version.seal = slot_varlena(slot, ANUM_SEAL);
	if (same_version(&read->version, read->known))
	{
		read->result = ISSUER_UNCHANGED;
		return false;
	}

	memset(row, 0, sizeof(Issuer));
	row->issuer = slot_text(slot, ANUM_ISSUER);
	if (!slot->tts_isnull[ANUM_AUDIENCES - 1])
		row->audiences = array_to_texts(slot_varlena(slot, ANUM_AUDIENCES), &row->n_audiences);
	row->algorithm_names =
		array_to_texts(slot_varlena(slot, ANUM_ALGORITHMS), &row->n_algorithm_names);
	row->algorithms = issuer_algorithms(row->algorithm_names, row->n_algorithm_names);
	row->app_user_template = slot_text(slot, ANUM_APP_USER_TEMPLATE);
	skew = DatumGetIntervalP(slot_datum(slot, ANUM_CLOCK_SKEW));
	row->clock_skew =
		(skew->day + (int64) skew->month * DAYS_PER_MONTH) * USECS_PER_DAY + skew->time;
	row->jwks = slot_nullable_varlena(slot, ANUM_JWKS);
	row->jwks_uri = slot_nullable_text(slot, ANUM_JWKS_URI);
	row->hmac_key = slot_nullable_text(slot, ANUM_HMAC_KEY);
	row->fetched_jwks = slot_nullable_text(slot, ANUM_FETCHED_JWKS);
	row->fetched_at = slot_nullable_timestamp(slot, ANUM_FETCHED_AT);
	if (!slot->tts_isnull[ANUM_TOKEN_TYPES - 1])
		row->token_types =
			array_to_texts(slot_varlena(slot, ANUM_TOKEN_TYPES), &row->n_token_types);
	read->result = ISSUER_READ;
	return false;
}

/*
 * What the row's seal is over: whatever decides who people are.  fetched_at only says
 * when to fetch again.
 */
static StringInfo
issuer_record(const Issuer *issuer)
{
	StringInfo record = row_seal_record("issuers");

	record_put_text(record, issuer->issuer);
	record_put_int(record, issuer->audiences != NULL);
	record_put_texts(record, issuer->audiences, issuer->n_audiences);
	record_put_texts(record, issuer->algorithm_names, issuer->n_algorithm_names);
	record_put_text(record, issuer->app_user_template);
	record_put_int(record, issuer->clock_skew);
	record_put_json(record, issuer->jwks);
	record_put_text(record, issuer->jwks_uri);
	record_put_text(record, issuer->hmac_key);
	record_put_text(record, issuer->fetched_jwks);
	record_put_int(record, issuer->token_types != NULL);
	record_put_texts(record, issuer->token_types, issuer->n_token_types);
	return record;
}

/* With the latest snapshot; version: in, the one that is known, out, the one that was read. */
static IssuerRead
read_issuer(const char *issuer, RowVersion *version, Issuer *row)
{
	ScanKeyData key;
	ReadArg arg = {version, {0}, row, ISSUER_MISSING};

	text_key(&key, 1, issuer);
	store_scan("issuers", "issuers_pkey", GetLatestSnapshot(), &key, 1, visit_issuer, &arg);
	if (arg.result == ISSUER_READ)
		*version = arg.version;
	return arg.result;
}

IssuerRead
store_read_issuer(const char *issuer, RowVersion *version, Issuer *row)
{
	IssuerRead result = read_issuer(issuer, version, row);

	if (result == ISSUER_READ && !row_seal_holds(issuer_record(row), version->seal))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("issuer \"%s\" was changed outside register_issuer()", issuer),
						errdetail("Its row is not what was sealed; no JWT of it is accepted."),
						errhint("An admin calls appuser_connectors.register_issuer() again, or "
								"delete_issuer().")));
	return result;
}

static void
issuer_args(StoreArgs *args, const Issuer *issuer)
{
	Interval *skew = palloc0(sizeof(Interval));

	skew->time = issuer->clock_skew;
	arg_text(args, issuer->issuer);
	arg_texts(args, issuer->audiences, issuer->n_audiences);
	if (issuer->audiences == NULL)
		args->nulls[args->count - 1] = 'n';
	arg_texts(args, issuer->algorithm_names, issuer->n_algorithm_names);
	arg_text(args, issuer->app_user_template);
	args->types[args->count] = INTERVALOID;
	args->values[args->count] = IntervalPGetDatum(skew);
	args->nulls[args->count++] = ' ';
	arg_jsonb(args, issuer->jwks);
	arg_text(args, issuer->jwks_uri);
	arg_text(args, issuer->hmac_key);
	arg_text(args, issuer->fetched_jwks);
	arg_timestamp(args, issuer->fetched_at);
	arg_bytes(args, row_seal(issuer_record(issuer)));
	arg_texts(args, issuer->token_types, issuer->n_token_types);
	if (issuer->token_types == NULL)
		args->nulls[args->count - 1] = 'n';
}

static bool
insert_issuer(const Issuer *issuer, TimestampTz now)
{
	static StoreStatement insert = {
		"INSERT INTO appuser_connectors.issuers (issuer, audiences, algorithms, "
		"app_user_template, clock_skew, jwks, jwks_uri, hmac_key, fetched_jwks, fetched_at, seal, "
		"token_types, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, "
		"$11, $12, $13, $13) "
		"ON CONFLICT (issuer) DO NOTHING"};
	StoreSection section;
	StoreArgs args = {0};
	bool inserted;

	issuer_args(&args, issuer);
	arg_timestamp(&args, now);
	store_begin(&section, NULL);
	inserted = store_run(&section, &insert, &args) > 0;
	store_end(&section);
	return inserted;
}

/* The row is locked. */
static void
update_issuer(const Issuer *issuer, TimestampTz now)
{
	static StoreStatement update = {
		"UPDATE appuser_connectors.issuers SET audiences = $2, algorithms = $3, "
		"app_user_template = $4, clock_skew = $5, jwks = $6, jwks_uri = $7, hmac_key = $8, "
		"fetched_jwks = $9, fetched_at = $10, seal = $11, token_types = $12, updated_at = $13 "
		"WHERE issuer = $1"};
	StoreSection section;
	StoreArgs args = {0};

	issuer_args(&args, issuer);
	arg_timestamp(&args, now);
	store_begin(&section, NULL);
	store_run(&section, &update, &args);
	store_end(&section);
}

/* What an admin said of both is the same. */
static bool
same_issuer(const Issuer *a, const Issuer *b)
{
	Issuer there = *a;
	Issuer given = *b;
	StringInfo x;
	StringInfo y;

	there.fetched_jwks = given.fetched_jwks = NULL;
	x = issuer_record(&there);
	y = issuer_record(&given);
	return x->len == y->len && memcmp(x->data, y->data, x->len) == 0;
}

bool
store_put_issuer(const Issuer *issuer, TimestampTz now)
{
	static StoreStatement lock = {
		"SELECT 1 FROM appuser_connectors.issuers WHERE issuer = $1 FOR NO KEY UPDATE"};
	Issuer put = *issuer;

	put.fetched_jwks = NULL;
	put.fetched_at = DT_NOEND;
	/* again when somebody registers it at the same time */
	for (;;)
	{
		StoreSection section;
		StoreArgs args = {0};
		RowVersion version = {0};
		Issuer there;
		bool authentic;

		CHECK_FOR_INTERRUPTS();
		arg_text(&args, issuer->issuer);
		store_begin(&section, NULL);
		store_run(&section, &lock, &args);
		store_end(&section);
		if (read_issuer(issuer->issuer, &version, &there) == ISSUER_MISSING)
		{
			if (insert_issuer(&put, now))
				return true;
			continue;
		}
		authentic = row_seal_holds(issuer_record(&there), version.seal);
		if (authentic && same_issuer(&there, issuer))
			return false;
		/* keys that were fetched from there stay, unless they are somebody else's */
		if (authentic && there.jwks_uri != NULL && put.jwks_uri != NULL &&
			strcmp(there.jwks_uri, put.jwks_uri) == 0)
		{
			put.fetched_jwks = there.fetched_jwks;
			put.fetched_at = there.fetched_at;
		}
		update_issuer(&put, now);
		return true;
	}
}

IssuerTemplate *
store_other_templates(const char *issuer, int *count)
{
	static StoreStatement get = {"SELECT issuer, app_user_template FROM appuser_connectors.issuers "
								 "WHERE issuer <> $1 ORDER BY issuer"};
	StoreSection section;
	StoreArgs args = {0};
	IssuerTemplate *others;

	/* of two who register at the same time, the later must see the earlier's */
	LockRelationOid(store_relation("issuers"), ShareRowExclusiveLock);
	arg_text(&args, issuer);
	store_begin(&section, NULL);
	*count = (int) store_run(&section, &get, &args);
	others = palloc(sizeof(IssuerTemplate) * (*count + 1));
	for (int i = 0; i < *count; i++)
		others[i] = (IssuerTemplate){result_text(&section, i, 1), result_text(&section, i, 2)};
	store_end(&section);
	return others;
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
	static StoreStatement lock = {"SELECT 1 FROM appuser_connectors.issuers WHERE issuer = $1 "
								  "FOR NO KEY UPDATE SKIP LOCKED"};
	static StoreStatement look = {"SELECT 1 FROM appuser_connectors.issuers WHERE issuer = $1"};
	StoreArgs args = {0};
	RowVersion version = {0};
	Issuer row;

	arg_text(&args, issuer);
	switch (store_lock_row("issuers", RowExclusiveLock, &lock, &look, &args, NULL))
	{
		case LOCK_HELD:
			return false;
		case LOCK_MISSING:
			return true;
		case LOCK_TAKEN:
			break;
	}
	/* one that was altered is not made good by sealing it again */
	if (read_issuer(issuer, &version, &row) != ISSUER_READ || row.jwks_uri == NULL ||
		strcmp(row.jwks_uri, jwks_uri) != 0 || !row_seal_holds(issuer_record(&row), version.seal))
		return true;
	row.fetched_jwks = unconstify(char *, jwks);
	row.fetched_at = now;
	update_issuer(&row, now);
	return true;
}

char **
store_issuers_fetched_before(TimestampTz time, int *count)
{
	static StoreStatement get = {"SELECT issuer FROM appuser_connectors.issuers "
								 "WHERE jwks_uri IS NOT NULL "
								 "AND (fetched_at < $1 OR fetched_at > $2)"};
	StoreSection section;
	StoreArgs args = {0};
	char **issuers;

	/* whoever locks the table must not hold up what else is due */
	*count = 0;
	if (!ConditionalLockRelationOid(store_relation("issuers"), AccessShareLock))
		return NULL;
	arg_timestamp(&args, time);
	arg_timestamp(&args, GetCurrentTimestamp());
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
	entry->version.seal = memcpy(MemoryContextAlloc(context, VARSIZE_ANY(version->seal)),
								 version->seal, VARSIZE_ANY(version->seal));
	callback->func = free_keys;
	callback->arg = entry;
	MemoryContextRegisterResetCallback(context, callback);

	issuer->issuer = MemoryContextStrdup(context, row->issuer);
	issuer->algorithms = row->algorithms;
	issuer->app_user_template = MemoryContextStrdup(context, row->app_user_template);
	issuer->clock_skew = row->clock_skew;
	issuer->n_token_types = row->n_token_types;
	if (row->token_types != NULL)
		issuer->token_types =
			MemoryContextAlloc(context, sizeof(char *) * (row->n_token_types + 1));
	for (int i = 0; i < row->n_token_types; i++)
		issuer->token_types[i] = MemoryContextStrdup(context, row->token_types[i]);
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
