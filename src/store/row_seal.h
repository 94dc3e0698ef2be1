/*
 * row_seal.h
 *	  Authenticating a row that holds no secret but decides who people are or where
 *	  secrets go: its columns as associated data of a sealed nothing.
 */
#ifndef APPUSER_CONNECTORS_STORE_ROW_SEAL_H
#define APPUSER_CONNECTORS_STORE_ROW_SEAL_H

#include "lib/stringinfo.h"

#include "base/record.h"

/* A record to put the columns into.  Raises UC008 where there is no installation. */
extern StringInfo row_seal_record(const char *table);

/* A seal over them; no two are the same.  Raises UC008. */
extern bytea *row_seal(StringInfo record);

/* Are they what was sealed?  NULL: it was not.  Raises UC008. */
extern bool row_seal_holds(StringInfo record, const bytea *seal);

#endif
