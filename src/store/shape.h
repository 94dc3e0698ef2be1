/*
 * shape.h
 *	  What C relies on in the extension's tables: their columns, and the keys of the
 *	  indexes that are scanned directly.
 */
#ifndef APPUSER_CONNECTORS_STORE_SHAPE_H
#define APPUSER_CONNECTORS_STORE_SHAPE_H

#include "utils/relcache.h"

/*
 * Raise 55000 with what is different where ALTER TABLE, DROP INDEX and the like have
 * made an open relation into one that must not be read as ours.
 */
extern void shape_check_table(const char *table, Relation relation);
extern void shape_check_index(const char *index, Relation table, Relation relation);

/* Raises it for an index that is not there. */
extern void shape_raise_missing_index(const char *index) pg_attribute_noreturn();

#endif
