/*
 * url_template.c
 *	  Endpoints with fields in them.
 *
 * Client secrets and tokens are sent to what comes out, and some values come from app
 * users or from a callback's query.  The field's own pattern is the first fence; the second
 * is here: by its place a value has an alphabet in which nothing can end a host's name, a
 * path's segment or a query early.
 *
 * Pure functions; must not raise errors.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "lib/stringinfo.h"

#include "base/url.h"
#include "oauth/url_template.h"

#define MAX_FIELDS 16 /* in one URL */

#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"
#define FIELD_CHARACTERS LETTERS DIGITS "_"
#define HOST_CHARACTERS LETTERS DIGITS "-."
#define UNRESERVED LETTERS DIGITS "-._~" /* RFC 3986 §2.3 */

/* What a field stands for, by where it is */
typedef enum FieldPlace
{
	PLACE_ORIGIN, /* at the very beginning */
	PLACE_HOST,   /* in the authority */
	PLACE_REST    /* in the path or query */
} FieldPlace;

/* The length of a field at text, braces and all; 0: it is none */
static size_t
field_length(const char *text)
{
	size_t length;

	if (text[0] != '{')
		return 0;
	length = strspn(text + 1, FIELD_CHARACTERS);
	return length > 0 && text[length + 1] == '}' ? length + 2 : 0;
}

bool
url_is_template(const char *url)
{
	return strpbrk(url, "{}") != NULL;
}

bool
is_placeholder(const char *text)
{
	return field_length(text) > 0 && text[field_length(text)] == '\0';
}

static FieldPlace
place_of(const char *template, const char *field)
{
	const char *authority = strstr(template, "://");

	if (field == template)
		return PLACE_ORIGIN;
	if (template[0] == '{' || authority == NULL)
		return PLACE_REST;
	authority += 3;
	return field < authority + strcspn(authority, "/?#") ? PLACE_HOST : PLACE_REST;
}

/* Only a field that ends the authority may bring a port along. */
static bool
ends_authority(const char *field)
{
	const char *after = field + field_length(field);

	return after[0] == '\0' || after[0] == '/' || after[0] == '?';
}

static bool
fits_host(const char *field, const char *value)
{
	size_t length = strspn(value, HOST_CHARACTERS);

	if (length == 0 || value[0] == '.' || strstr(value, "..") != NULL)
		return false;
	if (value[length] == ':' && ends_authority(field))
	{
		size_t port = strspn(value + length + 1, DIGITS);

		return port > 0 && port <= 5 && value[length + 1 + port] == '\0';
	}
	return value[length] == '\0' && value[length - 1] != '.';
}

static bool
fits(const char *template, const char *field, const char *value)
{
	switch (place_of(template, field))
	{
		case PLACE_ORIGIN:
			/* nor may what follows go on with the host's name */
			return url_endpoint_problem(value) == NULL && strpbrk(value, "?#{}") == NULL &&
				   strstr(value, "/.") == NULL &&
				   (field[field_length(field)] == '/' || value[strlen(value) - 1] == '/');
		case PLACE_HOST:
			return fits_host(field, value);
		case PLACE_REST:
			return value[0] != '\0' && strspn(value, UNRESERVED) == strlen(value) &&
				   strcmp(value, ".") != 0 && strcmp(value, "..") != 0;
	}
	return false;
}

/* An origin that ends in a slash, before a path that begins with one, is of one slash. */
static void
append_value(StringInfo url, const char *value, const char *rest)
{
	size_t length = strlen(value);

	if (url->len == 0 && length > 0 && value[length - 1] == '/' && rest[0] == '/')
		length--;
	appendBinaryStringInfo(url, value, (int) length);
}

/* *lacking: the first field without a value that can stand there */
static char *
fill_in(const char *template, TemplateValue value, void *context, bool is_url, const char **lacking)
{
	StringInfoData url;

	*lacking = NULL;
	initStringInfo(&url);
	for (const char *c = template; *c != '\0';)
	{
		size_t length = field_length(c);
		const char *name;
		const char *found;

		if (length == 0)
		{
			appendStringInfoChar(&url, *c++);
			continue;
		}
		name = pnstrdup(c + 1, length - 2);
		found = value(context, name);
		if (found != NULL && is_url && !fits(template, c, found))
			found = NULL;
		if (found != NULL)
			append_value(&url, found, c + length);
		else
		{
			if (*lacking == NULL)
				*lacking = name;
			appendBinaryStringInfo(&url, c, (int) length);
		}
		c += length;
	}
	return url.data;
}

char *
url_template_expand(const char *template, TemplateValue value, void *context, const char **lacking)
{
	char *url = fill_in(template, value, context, true, lacking);

	return *lacking == NULL && url_endpoint_problem(url) == NULL ? url : NULL;
}

char *
url_template_fix(const char *template, TemplateValue value, void *context)
{
	const char *lacking;

	return fill_in(template, value, context, true, &lacking);
}

char *
value_template_expand(const char *template, TemplateValue value, void *context,
					  const char **lacking)
{
	char *text = fill_in(template, value, context, false, lacking);

	return *lacking == NULL ? text : NULL;
}

const char **
url_template_fields(const char *template, int *count)
{
	/* the shortest is "{x}" */
	const char **names = palloc(sizeof(char *) * (strlen(template) / 3 + 1));

	*count = 0;
	for (const char *c = template; *c != '\0';)
	{
		size_t length = field_length(c);
		int i = 0;

		if (length > 0)
		{
			names[*count] = pnstrdup(c + 1, length - 2);
			while (strcmp(names[i], names[*count]) != 0)
				i++;
			*count += i == *count;
		}
		c += length > 0 ? length : 1;
	}
	return names;
}

static const char *
example_value(void *context, const char *name)
{
	const char *template = context;

	return template[0] == '{' && strncmp(template + 1, name, strlen(name)) == 0 &&
				   template[1 + strlen(name)] == '}'
			   ? "https://x.example/"
			   : "x";
}

const char *
url_template_problem(const char *template)
{
	const char *authority = strstr(template, "://");
	const char *lacking;
	char *url;
	int count;

	for (const char *c = template; *c != '\0'; c += Max(field_length(c), 1))
		if ((*c == '{' || *c == '}') && field_length(c) == 0)
			return "A brace in it encloses no name of a field.";
	(void) url_template_fields(template, &count);
	if (count >= MAX_FIELDS)
		return "It has too many fields.";
	if (template[0] != '{' && (authority == NULL || memchr(template, '{', authority - template)))
		return "It is not a URL with fields in it.";
	/* such as "https://{a}{b}.example": where the one ends nobody could say */
	if (strstr(template, "}{") != NULL)
		return "Two fields in it touch each other.";
	if (template[0] == '{' && !isalnum((unsigned char) template[field_length(template)]) &&
		template[field_length(template)] != '/')
		return "It is not a URL with fields in it.";
	url = url_template_expand(template, example_value, unconstify(char *, template), &lacking);
	if (lacking != NULL)
		return "A field in it cannot stand where it is.";
	if (url == NULL)
		return url_endpoint_problem(
			url_template_fix(template, example_value, unconstify(char *, template)));
	return NULL;
}

char *
url_template_origin(const char *template)
{
	const char *authority = strstr(template, "://");

	if (template[0] == '{' || authority == NULL)
		return NULL;
	authority += 3;
	return pnstrdup(template, authority - template + strcspn(authority, "/?#"));
}
