/*
 * body.h
 *	  The members of an answer's body, JSON or form encoded.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_BODY_H
#define APPUSER_CONNECTORS_OAUTH_BODY_H

#include <stdbool.h>
#include <stddef.h>

#define MAX_BODY_BYTES (1024 * 1024)
#define MAX_RESPONSE_DEPTH 16
#define MAX_BODY_MEMBERS 512 /* of all objects that are read */

typedef enum BodyKind
{
	BODY_NULL,
	BODY_STRING,
	BODY_NUMBER,
	BODY_TRUE,
	BODY_FALSE,
	BODY_OBJECT,
	BODY_ARRAY
} BodyKind;

typedef struct BodyMember
{
	char *name;
	BodyKind kind;

	/*
	 * Of a scalar, its text: UTF-8 without NUL, secret memory.  Of an array
	 * named "scope", or on one of the paths, its strings and numbers joined by spaces.
	 * Else NULL.
	 */
	char *text;
	size_t len;

	struct BodyObject *object; /* of an object that is read; else NULL */
} BodyMember;

typedef struct BodyObject
{
	char *path; /* dotted, from the top, whose own is "" */
	int n_members;
	int max_members;
	BodyMember *members;
} BodyObject;

/*
 * Reads the top-level object, the objects along the dotted paths (any of which may
 * be NULL), and an object at top level named "error"; the rest is only checked.
 * Returns NULL, or a constant text that says why the body is refused, and then
 * *root is NULL.
 */
extern const char *read_json_body(const char *body, size_t len, const char *const *paths,
								  int n_paths, BodyObject **root);

/* application/x-www-form-urlencoded: every member is a string */
extern const char *read_form_body(const char *body, size_t len, BodyObject **root);

/* NULL when there is none or it is null */
extern const BodyMember *body_member(const BodyObject *object, const char *name);

/* The member at the end of the dotted path; NULL as above.  Some names have dots themselves. */
extern const BodyMember *body_member_at(const BodyObject *object, const char *path);

/* Is it a string without characters? */
extern bool body_is_blank(const BodyMember *member);

/* The object at the dotted path; the object itself when path is NULL. */
extern const BodyObject *body_object_at(const BodyObject *object, const char *path);

/* Overwrites every text; NULL is fine. */
extern void body_free(BodyObject *root);

#endif
