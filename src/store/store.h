/*
 * store.h
 *	  SQL on the extension's tables: the owner switch, saved statements, and the
 *	  direct index scan of the fast path.
 *
 * Statements on each table are in store_*.c; nobody else runs any.
 */
#ifndef APPUSER_CONNECTORS_STORE_STORE_H
#define APPUSER_CONNECTORS_STORE_STORE_H

#include "access/skey.h"
#include "executor/spi.h"
#include "storage/lockdefs.h"
#include "utils/array.h"
#include "utils/jsonb.h"
#include "utils/snapshot.h"
#include "utils/uuid.h"

#include "store/names.h"

#define STORE_GUEST "appuser_connectors_user" /* whose rights AFTER triggers have */
#define STORE_MAX_ARGS 32

/* What trying to lock a row without waiting came to */
typedef enum LockResult
{
	LOCK_TAKEN,
	LOCK_MISSING, /* there is no such row */
	LOCK_HELD     /* by another transaction */
} LockResult;

/* A statement, prepared at its first use and kept. */
typedef struct StoreStatement
{
	const char *sql;
	SPIPlanPtr plan;
} StoreStatement;

/* What a section has to put back.  On the caller's stack: sections nest. */
typedef struct StoreSection
{
	MemoryContext context; /* current at its begin; results are copied into it */
	Oid user;
	int security_context;
	const StoreStatement *statement; /* the last that was run */
} StoreSection;

/* Arguments, added in order */
typedef struct StoreArgs
{
	int count;
	Oid types[STORE_MAX_ARGS];
	Datum values[STORE_MAX_ARGS];
	char nulls[STORE_MAX_ARGS];
} StoreArgs;

extern void arg_text(StoreArgs *args, const char *value); /* NULL: null */
extern void arg_int(StoreArgs *args, int32 value);
extern void arg_bigint(StoreArgs *args, int64 value);
extern void arg_oid(StoreArgs *args, Oid value);
extern void arg_uuid(StoreArgs *args, const pg_uuid_t *value);
extern void arg_bytes(StoreArgs *args, const bytea *value);    /* NULL: null */
extern void arg_timestamp(StoreArgs *args, TimestampTz value); /* DT_NOEND: null */
extern void arg_jsonb(StoreArgs *args, const Jsonb *value);    /* NULL: null */
extern void arg_texts(StoreArgs *args, char *const *values, int count);

/*
 * Between begin and end the current user is the owner role in a security-restricted
 * operation, and row security shows the rows of app_user (NULL: of nobody).  An error
 * ends a section like any state of its (sub)transaction.  Sections nest.
 */
extern void store_begin(StoreSection *section, const char *app_user);
extern void store_end(StoreSection *section);

/*
 * Runs one, under settings of its own; returns the number of rows.  Results are read
 * with result_*, before the next one runs.
 */
extern uint64 store_run(StoreSection *section, StoreStatement *statement, StoreArgs *args);

/*
 * Locks a row and waits for nobody, who locks the table either: lock selects it with
 * SKIP LOCKED, look without a lock.  Not within store_begin and store_end.
 */
extern LockResult store_lock_row(const char *table, LOCKMODE mode, StoreStatement *lock,
								 StoreStatement *look, StoreArgs *args, const char *app_user);

/*
 * Results, by row from 0 and column from 1.  A null raises XX001 where it is not among
 * the values, a column of another type 55000.
 */
extern char *result_text(const StoreSection *section, uint64 row, int column);
extern bool result_bool(const StoreSection *section, uint64 row, int column);
extern int32 result_int(const StoreSection *section, uint64 row, int column);
extern pg_uuid_t result_uuid(const StoreSection *section, uint64 row, int column);
extern bytea *result_bytes(const StoreSection *section, uint64 row, int column);
extern TimestampTz result_timestamp(const StoreSection *section, uint64 row, int column);
extern Jsonb *result_jsonb(const StoreSection *section, uint64 row, int column);
extern char **result_texts(const StoreSection *section, uint64 row, int column, int *count);

/* Are the columns of the types that descriptor has?  Raises 55000. */
extern void store_check_results(const StoreSection *section, TupleDesc descriptor);

/* NULL or DT_NOEND for null */
extern char *result_nullable_text(const StoreSection *section, uint64 row, int column);
extern bytea *result_nullable_bytes(const StoreSection *section, uint64 row, int column);
extern TimestampTz result_nullable_timestamp(const StoreSection *section, uint64 row, int column);
extern Jsonb *result_nullable_jsonb(const StoreSection *section, uint64 row, int column);

/* A random (version 4) UUID, RFC 9562 §5.4 */
extern void random_uuid(pg_uuid_t *id);

/* text[] <-> C strings, palloc'ed; null elements raise 22004 */
extern ArrayType *texts_to_array(char *const *values, int count);
extern char **array_to_texts(ArrayType *array, int *count);

/* OID of one of the extension's relations; InvalidOid when there is none. */
extern Oid store_relation(const char *name);

/* Counts up whenever cached relation OIDs and what hangs on them are stale. */
extern uint64 store_invalidations(void);

/*
 * Calls visit for each row that an index scan with these keys finds, until it
 * returns false.  No lock but AccessShareLock, no write.  Raises 55000 where the table
 * or the index is not as CREATE EXTENSION made it (see shape.h).
 */
typedef bool (*StoreVisitor)(TupleTableSlot *slot, void *arg);
extern void store_scan(const char *table, const char *index, Snapshot snapshot, ScanKey keys,
					   int nkeys, StoreVisitor visit, void *arg);

/* The same from the index's end */
extern void store_scan_back(const char *table, const char *index, Snapshot snapshot, ScanKey keys,
							int nkeys, StoreVisitor visit, void *arg);

/* An equality key on a text column, COLLATE "C" */
extern void text_key(ScanKey key, int column, const char *value);

/* Out of the scan's slot, which goes away; a null raises XX001. */
extern Datum slot_datum(TupleTableSlot *slot, int column);
extern char *slot_text(TupleTableSlot *slot, int column);    /* a copy */
extern void *slot_varlena(TupleTableSlot *slot, int column); /* a copy */
extern TimestampTz slot_timestamp(TupleTableSlot *slot, int column);

/* The same, NULL or DT_NOEND for null */
extern char *slot_nullable_text(TupleTableSlot *slot, int column);
extern void *slot_nullable_varlena(TupleTableSlot *slot, int column);
extern TimestampTz slot_nullable_timestamp(TupleTableSlot *slot, int column);

/* As store_scan over a whole table, in no order. */
extern void store_scan_table(const char *table, Snapshot snapshot, StoreVisitor visit, void *arg);

#endif
