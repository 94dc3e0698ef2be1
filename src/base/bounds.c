/*
 * bounds.c
 *	  Arguments that are held to a bound.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "base/bounds.h"

static bool numbers_fit(Jsonb *value, int max);
static void raise_too_large(const char *name, int max);

static void
raise_too_large(const char *name, int max)
{
	ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					errmsg("%s must not be larger than %d bytes", name, max)));
}

/* Printed one after the other, and no further than to the bound */
static bool
numbers_fit(Jsonb *value, int max)
{
	JsonbIterator *iterator = JsonbIteratorInit(&value->root);
	JsonbIteratorToken token;
	JsonbValue element;
	size_t bytes = 0;

	while ((token = JsonbIteratorNext(&iterator, &element, false)) != WJB_DONE && bytes <= max)
	{
		CHECK_FOR_INTERRUPTS();
		if ((token == WJB_VALUE || token == WJB_ELEM) && element.type == jbvNumeric)
		{
			char *text = DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(element.val.numeric)));

			bytes += strlen(text);
			pfree(text);
		}
	}
	return bytes <= max;
}

Jsonb *
bounded_jsonb_arg(FunctionCallInfo fcinfo, int i, const char *name, int max)
{
	Jsonb *value;
	char *text;

	if (PG_ARGISNULL(i))
		return NULL;
	if (toast_raw_datum_size(PG_GETARG_DATUM(i)) > max + VARHDRSZ)
		raise_too_large(name, max);
	value = PG_GETARG_JSONB_P(i);
	if (!numbers_fit(value, max))
		raise_too_large(name, max);
	text = JsonbToCString(NULL, &value->root, VARSIZE(value));
	if (strlen(text) > max)
		raise_too_large(name, max);
	pfree(text);
	return value;
}
