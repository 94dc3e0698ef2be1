/*
 * json_tree.h
 *	  JSON from an untrusted source as a small tree.
 */
#ifndef APPUSER_CONNECTORS_BASE_JSON_TREE_H
#define APPUSER_CONNECTORS_BASE_JSON_TREE_H

#include "base/compat.h"

#define JSON_TREE_MAX_DEPTH 8
#define JSON_ANSWER_MAX_DEPTH 16
#define JSON_TREE_MAX_MEMBERS 256 /* of one object */

/* A value; members of an object and elements of an array are chained from first. */
typedef struct JsonValue
{
	JsonTokenType type; /* of the token that begins it */
	const char *name;   /* as a member */
	const char *text;   /* of a scalar, escapes resolved */
	struct JsonValue *first;
	struct JsonValue *last;
	struct JsonValue *next;
	int n_children;
} JsonValue;

/*
 * NULL unless it is one object of RFC 8259, in UTF-8, without duplicate names,
 * within the caps.  Allocates in the current memory context.
 */
extern const JsonValue *json_parse_object(const char *json, size_t len);

/* The same of what a provider's API answers: an object or an array, which may be deeper */
extern const JsonValue *json_parse_answer(const char *json, size_t len);

/* NULL when there is none, or object is none */
extern const JsonValue *json_member(const JsonValue *object, const char *name);

/* Is it a JSON pointer (RFC 6901), other than that of the whole? */
extern bool json_is_pointer(const char *text);

/*
 * What stands there, an element of an array by its number; NULL when there is nothing, or
 * text is no pointer.
 */
extern const JsonValue *json_at_pointer(const JsonValue *root, const char *pointer);

/* The text of a string, NULL for NULL and any other value */
extern const char *json_string(const JsonValue *value);

#endif
