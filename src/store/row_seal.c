/*
 * row_seal.c
 *	  Authenticating a row that holds no secret but decides who people are or where
 *	  secrets go: its columns as associated data of a sealed nothing.
 *
 * Values go in as they are whatever version of PostgreSQL stores them, so that a seal
 * outlives a dump: text as its bytes, jsonb as text, times as microseconds.
 */
#include "postgres.h"

#include "store/installation.h"
#include "store/keyring.h"
#include "store/row_seal.h"

StringInfo
row_seal_record(const char *table)
{
	StringInfo record = makeStringInfo();

	record_put_text(record, "row");
	record_put_bytes(record, installation_id(), sizeof(pg_uuid_t));
	record_put_text(record, table);
	return record;
}

bytea *
row_seal(StringInfo record)
{
	return keyring_seal(record, "", 0);
}

bool
row_seal_holds(StringInfo record, const bytea *seal)
{
	int len;

	return seal != NULL && keyring_open(record, seal, &len) != NULL && len == 0;
}
