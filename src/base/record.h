/*
 * record.h
 *	  A sequence of fields as bytes, each with its length in front: associated
 *	  data, and what is sealed or handed to the worker.
 */
#ifndef APPUSER_CONNECTORS_BASE_RECORD_H
#define APPUSER_CONNECTORS_BASE_RECORD_H

#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/jsonb.h"

/* An empty record with room for size bytes, so that no enlarging leaves a copy. */
extern void record_init(StringInfo record, int size);

extern void record_put_bytes(StringInfo record, const void *bytes, int len);
extern void record_put_text(StringInfo record, const char *text); /* NULL is kept */
extern void record_put_int(StringInfo record, int64 value);
extern void record_put_texts(StringInfo record, char *const *texts, int count);

/* The elements of a text[], as record_put_texts; NULL and null elements are kept */
extern void record_put_text_array(StringInfo record, ArrayType *texts);

/* As text, which is the same whatever version of PostgreSQL has stored it; NULL is kept */
extern void record_put_json(StringInfo record, const Jsonb *value);

/* Reading; record->cursor moves on.  A record cut short raises XX001. */
extern const char *record_get_bytes(StringInfo record, int *len); /* NULL, -1 */
extern char *record_get_text(StringInfo record);                  /* secret_alloc'ed, or NULL */
extern int64 record_get_int(StringInfo record);
extern char **record_get_texts(StringInfo record, int *count);

#endif
