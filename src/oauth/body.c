/*
 * body.c
 *	  Reading the body of a provider's answer into its members.
 *
 * JSON as RFC 8259 has it, read strictly: UTF-8, no NUL, an object, no name
 * twice, nothing after it, not deep.  PostgreSQL's parser does the work, in
 * two passes: the first only checks, so that the second, which makes copies of
 * what it reads, cannot stop half way and leave some behind.
 *
 * Must not know what a member means, do I/O or raise errors.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"

#include "base/compat.h"
#include "base/secret.h"
#include "oauth/body.h"

/* What the semantic actions know: where in the document the parser is. */
typedef struct BodyReader
{
	BodyObject *root;
	const char *const *paths;
	int n_paths;
	int depth;

	/* by depth, the object that is read there; NULL = not read, or an array */
	BodyObject *reading[MAX_RESPONSE_DEPTH + 1];

	BodyMember *scope_array; /* the array of strings that is read */
	int scope_array_depth;
	StringInfoData scopes;

	int n_members; /* of all objects; beyond the limit nothing is added */
} BodyReader;

static bool valid_utf8(const char *text, size_t len);
static BodyObject *make_object(const char *above, const char *name);
static bool is_on_path(const BodyReader *reader, const BodyObject *object, const char *name);
static BodyMember *add_member(BodyObject *object, const char *name);
static BodyMember *open_member(BodyReader *reader);
static bool has_duplicates(const BodyObject *object);
static const char *path_below(const char *path, const char *name);
static const char *normalize_json(const char *body, size_t len, char *copy, size_t *copy_len);
static const char *copy_unicode_escape(const char *in, const char *end, char **out);
static int hex_value(char c);
static bool read_code_unit(const char *in, const char *end, pg_wchar *unit);
static const char *parse_json(const char *json, size_t len, const char *const *paths, int n_paths,
							  BodyObject **root);
static json_action object_start(void *state);
static json_action object_end(void *state);
static json_action array_start(void *state);
static json_action array_end(void *state);
static json_action field_start(void *state, char *fname, bool isnull);
static json_action field_end(void *state, char *fname, bool isnull);
static json_action scalar(void *state, char *token, JsonTokenType type);
static void set_scalar(BodyMember *member, const char *text, JsonTokenType type);
static bool decode_form(const char *text, size_t len, char *out, size_t *out_len);

static bool
valid_utf8(const char *text, size_t len)
{
	return memchr(text, '\0', len) == NULL &&
		   pg_encoding_verifymbstr(PG_UTF8, text, (int) len) == (int) len;
}

static BodyObject *
make_object(const char *above, const char *name)
{
	BodyObject *object = palloc(sizeof(BodyObject));

	object->path = psprintf("%s%s%s", above, above[0] != '\0' ? "." : "", name);
	object->n_members = 0;
	object->max_members = 16;
	object->members = palloc(sizeof(BodyMember) * (size_t) object->max_members);
	return object;
}

static BodyMember *
add_member(BodyObject *object, const char *name)
{
	BodyMember *member;

	if (object->n_members == object->max_members)
	{
		object->max_members *= 2;
		object->members =
			repalloc(object->members, sizeof(BodyMember) * (size_t) object->max_members);
	}
	member = &object->members[object->n_members++];
	memset(member, 0, sizeof(*member));
	member->name = pstrdup(name);
	return member;
}

/* The member whose value comes next, when it is in an object that is read */
static BodyMember *
open_member(BodyReader *reader)
{
	BodyObject *object = reader->reading[reader->depth];

	if (object == NULL || object->n_members == 0 || reader->n_members > MAX_BODY_MEMBERS)
		return NULL;
	return &object->members[object->n_members - 1];
}

static bool
has_duplicates(const BodyObject *object)
{
	int i;
	int j;

	for (i = 0; i < object->n_members; i++)
	{
		const BodyMember *member = &object->members[i];

		for (j = 0; j < i; j++)
		{
			if (strcmp(member->name, object->members[j].name) == 0)
				return true;
		}
		if (member->object != NULL && has_duplicates(member->object))
			return true;
	}
	return false;
}

/*
 * What remains of a dotted path below the member; NULL when the path does not
 * go through it, "" when it ends there.
 */
static const char *
path_below(const char *path, const char *name)
{
	size_t len = strlen(name);

	if (path == NULL || strncmp(path, name, len) != 0 || len == 0)
		return NULL;
	if (path[len] == '.')
		return path + len + 1;
	return path[len] == '\0' ? path + len : NULL;
}

/* Does one of the paths go through this member of the object, or end there? */
static bool
is_on_path(const BodyReader *reader, const BodyObject *object, const char *name)
{
	for (int i = 0; i < reader->n_paths; i++)
	{
		const char *rest = reader->paths[i];

		if (object->path[0] != '\0')
			rest = path_below(rest, object->path);
		if (path_below(rest, name) != NULL)
			return true;
	}
	return false;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* in is at the backslash of a \uXXXX */
static bool
read_code_unit(const char *in, const char *end, pg_wchar *unit)
{
	int i;

	if (end - in < 6 || in[0] != '\\' || in[1] != 'u')
		return false;
	*unit = 0;
	for (i = 2; i < 6; i++)
	{
		int value = hex_value(in[i]);

		if (value < 0)
			return false;
		*unit = *unit << 4 | (pg_wchar) value;
	}
	return true;
}

/*
 * Copies one \uXXXX escape, or a surrogate pair of them, and returns where the
 * input goes on; NULL when it is no character, or NUL.
 */
static const char *
copy_unicode_escape(const char *in, const char *end, char **out)
{
	pg_wchar first;
	pg_wchar second;

	if (!read_code_unit(in, end, &first) || first == 0 || is_utf16_surrogate_second(first))
		return NULL;
	if (is_utf16_surrogate_first(first))
	{
		if (!read_code_unit(in + 6, end, &second) || !is_utf16_surrogate_second(second))
			return NULL;
		first = surrogate_pair_to_codepoint(first, second);
		in += 6;
	}
	else if (first < 0x80)
	{
		memcpy(*out, in, 6);
		*out += 6;
		return in + 6;
	}
	unicode_to_utf8(first, (unsigned char *) *out);
	*out += pg_encoding_mblen(PG_UTF8, *out);
	return in + 6;
}

/*
 * Copies the body with escapes of characters beyond ASCII replaced by their
 * UTF-8, because the server's JSON parser translates those, and only those, to
 * the database's encoding, and raises an error where that has no such
 * character.  The copy is never longer.
 *
 * Also refuses what is nested too deep, before anything recurses into it.
 */
static const char *
normalize_json(const char *body, size_t len, char *copy, size_t *copy_len)
{
	const char *in = body;
	const char *end = body + len;
	char *out = copy;
	bool in_string = false;
	int depth = 0;

	while (in < end)
	{
		if (in_string && *in == '\\' && end - in >= 2)
		{
			if (in[1] == 'u')
			{
				in = copy_unicode_escape(in, end, &out);
				if (in == NULL)
					return "the body has an escape that is no character";
				continue;
			}
			*out++ = *in++;
		}
		else if (*in == '"')
			in_string = !in_string;
		else if (!in_string && (*in == '{' || *in == '['))
		{
			if (++depth > MAX_RESPONSE_DEPTH)
				return "the body is nested too deep";
		}
		else if (!in_string && (*in == '}' || *in == ']'))
			depth--;
		*out++ = *in++;
	}
	*copy_len = (size_t) (out - copy);
	copy[*copy_len] = '\0';
	return NULL;
}

static json_action
object_start(void *state)
{
	BodyReader *reader = state;
	BodyObject *object = NULL;

	if (reader->depth == 0)
		object = reader->root = make_object("", "");
	else
	{
		BodyMember *member = open_member(reader);

		if (member != NULL)
		{
			const BodyObject *above = reader->reading[reader->depth];

			member->kind = BODY_OBJECT;
			if (is_on_path(reader, above, member->name) ||
				(reader->depth == 1 && strcmp(member->name, "error") == 0))
				object = member->object = make_object(above->path, member->name);
		}
	}
	reader->reading[++reader->depth] = object;
	JSON_ACTION_RETURN;
}

static json_action
object_end(void *state)
{
	BodyReader *reader = state;

	reader->depth--;
	JSON_ACTION_RETURN;
}

static json_action
array_start(void *state)
{
	BodyReader *reader = state;
	BodyMember *member = open_member(reader);

	reader->reading[++reader->depth] = NULL;
	if (member != NULL)
	{
		member->kind = BODY_ARRAY;
		if (strcmp(member->name, "scope") == 0 ||
			is_on_path(reader, reader->reading[reader->depth - 1], member->name))
		{
			reader->scope_array = member;
			reader->scope_array_depth = reader->depth;
			initStringInfo(&reader->scopes);
		}
	}
	JSON_ACTION_RETURN;
}

static json_action
array_end(void *state)
{
	BodyReader *reader = state;

	if (reader->scope_array != NULL && reader->depth == reader->scope_array_depth)
	{
		reader->scope_array->len = (size_t) reader->scopes.len;
		reader->scope_array->text = secret_copy(reader->scopes.data, reader->scope_array->len);
		reader->scope_array = NULL;
		pfree(reader->scopes.data);
	}
	reader->depth--;
	JSON_ACTION_RETURN;
}

static json_action
field_start(void *state, char *fname, bool isnull)
{
	BodyReader *reader = state;
	BodyObject *object = reader->reading[reader->depth];

	(void) isnull;
	if (object != NULL && ++reader->n_members <= MAX_BODY_MEMBERS)
		add_member(object, fname);
	JSON_ACTION_RETURN;
}

static json_action
field_end(void *state, char *fname, bool isnull)
{
	(void) state;
	(void) isnull;
	pfree(fname);
	JSON_ACTION_RETURN;
}

static json_action
scalar(void *state, char *token, JsonTokenType type)
{
	BodyReader *reader = state;
	BodyMember *member = open_member(reader);

	if (member != NULL)
		set_scalar(member, token, type);
	else if (reader->scope_array != NULL && reader->depth == reader->scope_array_depth &&
			 (type == JSON_TOKEN_STRING || type == JSON_TOKEN_NUMBER))
	{
		appendStringInfoString(&reader->scopes, token);
		appendStringInfoChar(&reader->scopes, ' ');
	}
	secret_cleanse(token, strlen(token));
	pfree(token);
	JSON_ACTION_RETURN;
}

static void
set_scalar(BodyMember *member, const char *text, JsonTokenType type)
{
	switch (type)
	{
		case JSON_TOKEN_STRING:
			member->kind = BODY_STRING;
			break;
		case JSON_TOKEN_NUMBER:
			member->kind = BODY_NUMBER;
			break;
		case JSON_TOKEN_TRUE:
			member->kind = BODY_TRUE;
			break;
		case JSON_TOKEN_FALSE:
			member->kind = BODY_FALSE;
			break;
		default:
			member->kind = BODY_NULL;
			break;
	}
	member->len = strlen(text);
	member->text = secret_copy(text, member->len);
}

static const char *
parse_json(const char *json, size_t len, const char *const *paths, int n_paths, BodyObject **root)
{
	BodyReader reader = {0};
	JsonSemAction check = {0};
	JsonSemAction read = {0};
	JsonLexContext *lex;
	JsonParseErrorType result;
	const char *refusal = NULL;

	lex = make_json_lexer_ext(json, len, false);
	result = pg_parse_json(lex, &check);
	free_json_lexer(lex);
	if (result != JSON_SUCCESS)
		return "the body is not JSON";
	if (json[strspn(json, " \t\r\n")] != '{')
		return "the body is not a JSON object";

	read.semstate = &reader;
	read.object_start = object_start;
	read.object_end = object_end;
	read.array_start = array_start;
	read.array_end = array_end;
	read.object_field_start = field_start;
	read.object_field_end = field_end;
	read.scalar = scalar;
	reader.paths = paths;
	reader.n_paths = n_paths;

	lex = make_json_lexer_ext(json, len, true);
	/* no string is longer than the body: growing would leave copies behind */
	enlargeStringInfo(lex->strval, (int) len);
	result = pg_parse_json(lex, &read);
	secret_cleanse(lex->strval->data, (size_t) lex->strval->maxlen);
	free_json_lexer(lex);

	if (result != JSON_SUCCESS)
		refusal = "the body is not JSON";
	else if (reader.n_members > MAX_BODY_MEMBERS)
		refusal = "the body has too many members";
	else if (has_duplicates(reader.root))
		refusal = "the body has a member twice";
	if (refusal == NULL)
		*root = reader.root;
	else
		body_free(reader.root);
	return refusal;
}

const char *
read_json_body(const char *body, size_t len, const char *const *paths, int n_paths,
			   BodyObject **root)
{
	char *copy;
	size_t copy_len = 0;
	const char *refusal;

	*root = NULL;
	if (len == 0)
		return "the body is empty";
	if (len > MAX_BODY_BYTES)
		return "the body is too large";
	if (!valid_utf8(body, len))
		return "the body is not UTF-8 text";

	copy = secret_alloc(len);
	refusal = normalize_json(body, len, copy, &copy_len);
	if (refusal == NULL)
		refusal = parse_json(copy, copy_len, paths, n_paths, root);
	secret_cleanse(copy, len);
	return refusal;
}

/*
 * False on a '%' without two hexadecimal digits, on characters that no encoder
 * leaves as they are, and on what decodes to no text.
 */
static bool
decode_form(const char *text, size_t len, char *out, size_t *out_len)
{
	size_t n = 0;
	size_t i;

	for (i = 0; i < len; i++)
	{
		/* bytes beyond ASCII, which an encoder would not leave, must still be text */
		if ((text[i] >= 0 && text[i] <= 0x20) || text[i] == 0x7f || strchr("<>\"", text[i]) != NULL)
			return false;
		if (text[i] == '+')
			out[n++] = ' ';
		else if (text[i] != '%')
			out[n++] = text[i];
		else
		{
			int high = len - i > 2 ? hex_value(text[i + 1]) : -1;
			int low = len - i > 2 ? hex_value(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			out[n++] = (char) (high << 4 | low);
			i += 2;
		}
	}
	out[n] = '\0';
	*out_len = n;
	return valid_utf8(out, n);
}

const char *
read_form_body(const char *body, size_t len, BodyObject **root)
{
	BodyObject *object;
	const char *refusal = NULL;
	const char *pair = body;
	const char *end = body + len;

	*root = NULL;
	if (len == 0)
		return "the body is empty";
	if (len > MAX_BODY_BYTES)
		return "the body is too large";

	object = make_object("", "");
	while (refusal == NULL && pair < end)
	{
		const char *next = memchr(pair, '&', (size_t) (end - pair));
		const char *pair_end = next != NULL ? next : end;
		const char *equals = memchr(pair, '=', (size_t) (pair_end - pair));
		char *name;
		size_t name_len;

		/* "&&", or one at an end (WHATWG URL §5.1) */
		if (pair == pair_end)
		{
			pair = pair_end + 1;
			continue;
		}
		if (equals == NULL)
		{
			refusal = "the body is not form encoded";
			break;
		}
		name = palloc((size_t) (equals - pair) + 1);
		if (!decode_form(pair, (size_t) (equals - pair), name, &name_len))
			refusal = "the body is not form encoded";
		else if (object->n_members == MAX_BODY_MEMBERS)
			refusal = "the body has too many members";
		else
		{
			size_t value_len = (size_t) (pair_end - equals) - 1;
			BodyMember *member = add_member(object, name);

			member->kind = BODY_STRING;
			member->text = secret_alloc(value_len);
			if (!decode_form(equals + 1, value_len, member->text, &member->len))
			{
				member->len = value_len;
				refusal = "the body is not form encoded";
			}
		}
		pfree(name);
		pair = pair_end + 1;
	}
	if (refusal == NULL && has_duplicates(object))
		refusal = "the body has a member twice";
	if (refusal == NULL)
		*root = object;
	else
		body_free(object);
	return refusal;
}

const BodyMember *
body_member(const BodyObject *object, const char *name)
{
	int i;

	for (i = 0; i < object->n_members; i++)
	{
		if (strcmp(object->members[i].name, name) == 0)
			return object->members[i].kind == BODY_NULL ? NULL : &object->members[i];
	}
	return NULL;
}

const BodyObject *
body_object_at(const BodyObject *object, const char *path)
{
	int i;

	if (path == NULL || *path == '\0')
		return object;
	for (i = 0; i < object->n_members; i++)
	{
		const BodyMember *member = &object->members[i];
		const char *below = path_below(path, member->name);

		if (below != NULL && member->object != NULL)
			return body_object_at(member->object, below);
	}
	return NULL;
}

const BodyMember *
body_member_at(const BodyObject *object, const char *path)
{
	for (int i = 0; i < object->n_members; i++)
	{
		const BodyMember *member = &object->members[i];
		const char *below = path_below(path, member->name);
		const BodyMember *found = NULL;

		if (below != NULL && *below == '\0')
			return member->kind == BODY_NULL ? NULL : member;
		if (below != NULL && member->object != NULL)
			found = body_member_at(member->object, below);
		if (found != NULL)
			return found;
	}
	return NULL;
}

bool
body_is_blank(const BodyMember *member)
{
	return member->kind == BODY_STRING && member->len == 0;
}

void
body_free(BodyObject *root)
{
	int i;

	if (root == NULL)
		return;
	for (i = 0; i < root->n_members; i++)
	{
		BodyMember *member = &root->members[i];

		if (member->text != NULL)
			secret_cleanse(member->text, member->len);
		body_free(member->object);
		pfree(member->name);
	}
	pfree(root->members);
	pfree(root->path);
	pfree(root);
}
