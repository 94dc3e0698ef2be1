/*
 * record.c
 *	  A sequence of fields as bytes, each with its length in front.
 *
 * Lengths make it unambiguous, so two different sequences are never the same
 * bytes, as associated data must be.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "port/pg_bswap.h"

#include "base/record.h"
#include "base/secret.h"

void
record_init(StringInfo record, int size)
{
	initStringInfo(record);
	enlargeStringInfo(record, size);
}

void
record_put_bytes(StringInfo record, const void *bytes, int len)
{
	uint32 n = pg_hton32((uint32) (bytes == NULL ? -1 : len));

	appendBinaryStringInfo(record, (char *) &n, sizeof(n));
	if (bytes != NULL)
		appendBinaryStringInfo(record, bytes, len);
}

void
record_put_text(StringInfo record, const char *text)
{
	record_put_bytes(record, text, text == NULL ? 0 : strlen(text));
}

void
record_put_int(StringInfo record, int64 value)
{
	uint64 n = pg_hton64((uint64) value);

	record_put_bytes(record, &n, sizeof(n));
}

void
record_put_texts(StringInfo record, char *const *texts, int count)
{
	record_put_int(record, count);
	for (int i = 0; i < count; i++)
		record_put_text(record, texts[i]);
}

void
record_put_text_array(StringInfo record, ArrayType *texts)
{
	Datum *elements;
	bool *nulls;
	int count;

	if (texts == NULL)
	{
		record_put_int(record, -1);
		return;
	}
	deconstruct_array(texts, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	record_put_int(record, count);
	for (int i = 0; i < count; i++)
	{
		struct varlena *element = nulls[i] ? NULL : PG_DETOAST_DATUM_PACKED(elements[i]);

		record_put_bytes(record, element != NULL ? VARDATA_ANY(element) : NULL,
						 element != NULL ? (int) VARSIZE_ANY_EXHDR(element) : 0);
	}
}

void
record_put_json(StringInfo record, const Jsonb *value)
{
	record_put_text(record, value == NULL
								? NULL
								: JsonbToCString(NULL, unconstify(JsonbContainer *, &value->root),
												 VARSIZE(value)));
}

const char *
record_get_bytes(StringInfo record, int *len)
{
	uint32 n;
	const char *bytes;

	if (record->len - record->cursor < (int) sizeof(n))
		goto cut_short;
	memcpy(&n, record->data + record->cursor, sizeof(n));
	record->cursor += sizeof(n);
	*len = (int) pg_ntoh32(n);
	if (*len == -1)
		return NULL;
	if (*len < 0 || record->len - record->cursor < *len)
		goto cut_short;
	bytes = record->data + record->cursor;
	record->cursor += *len;
	return bytes;

cut_short:
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("record is cut short")));
}

char *
record_get_text(StringInfo record)
{
	int len;
	const char *bytes = record_get_bytes(record, &len);

	return bytes == NULL ? NULL : secret_copy(bytes, len);
}

int64
record_get_int(StringInfo record)
{
	int len;
	const char *bytes = record_get_bytes(record, &len);
	uint64 n;

	if (bytes == NULL || len != sizeof(n))
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("record is malformed")));
	memcpy(&n, bytes, sizeof(n));
	return (int64) pg_ntoh64(n);
}

char **
record_get_texts(StringInfo record, int *count)
{
	char **texts;

	*count = (int) record_get_int(record);
	if (*count < 0 || *count > record->len)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg("record is malformed")));
	texts = palloc(sizeof(char *) * (*count + 1));
	for (int i = 0; i < *count; i++)
		texts[i] = record_get_text(record);
	return texts;
}
