/*
 * text.c
 *	  What names may hold, and how what others gave is shown.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <ctype.h>

#include "mb/pg_wchar.h"

#include "base/text.h"

#define IS_CONTINUATION(c) (((unsigned char) (c) &0xc0) == 0x80)

bool
text_has_controls(const char *text)
{
	for (const unsigned char *c = (const unsigned char *) text; *c != '\0'; c++)
		if (*c < 0x20 || *c == 0x7f || (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0))
			return true;
	return false;
}

/* Unicode's White_Space beyond ASCII */
static bool
is_wide_space(pg_wchar c)
{
	return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
		   c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* Format characters (Cf) that web pages and documents have between letters, and fillers */
static bool
is_invisible(pg_wchar c)
{
	return c == 0xad || c == 0x34f || c == 0x61c || c == 0x115f || c == 0x1160 || c == 0x180e ||
		   (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
		   (c >= 0x2060 && c <= 0x206f) || c == 0x3164 || (c >= 0xfe00 && c <= 0xfe0f) ||
		   c == 0xfeff || c == 0xffa0 || (c >= 0xe0000 && c <= 0xe0fff);
}

bool
text_is_quoted(const char *text)
{
	size_t length = strlen(text);

	return length > 2 && strchr("\"'`", text[0]) != NULL && text[length - 1] == text[0];
}

/* Between a pair that word processors, or placeholders of instructions, have */
static bool
is_bracketed(const char *text)
{
	static const char *const pairs[][2] = {{"<", ">"}, {"${", "}"}, {"{{", "}}"}, {"“", "”"},
										   {"‘", "’"}, {"„", "“"},  {"‚", "‘"},   {"«", "»"},
										   {"‹", "›"}, {"”", "”"}};
	size_t length = strlen(text);

	for (size_t i = 0; i < lengthof(pairs); i++)
	{
		size_t first = strlen(pairs[i][0]);
		size_t last = strlen(pairs[i][1]);

		if (length > first + last && strncmp(text, pairs[i][0], first) == 0 &&
			strcmp(text + length - last, pairs[i][1]) == 0)
			return true;
	}
	return false;
}

const char *
text_pasted_problem(const char *text, bool may_be_quoted)
{
	static const char white_space[] = "It begins or ends with white space.";
	size_t length = strlen(text);
	pg_wchar last = 0;
	int bytes;

	if (length == 0)
		return NULL;
	if (isspace((unsigned char) text[0]) || isspace((unsigned char) text[length - 1]))
		return white_space;
	for (const char *c = text; *c != '\0'; c += bytes)
	{
		bytes = pg_encoding_mblen(PG_UTF8, c);
		if (strnlen(c, bytes) < bytes)
			break;
		last = utf8_to_unicode((const unsigned char *) c);
		if (c == text && is_wide_space(last))
			return white_space;
		if (is_invisible(last))
			return psprintf("It holds a character that cannot be seen, U+%04X.", last);
	}
	if (is_wide_space(last))
		return white_space;
	if (text_has_controls(text))
		return "It holds a control character, such as a tab or the end of a line.";
	if (is_bracketed(text) || (!may_be_quoted && text_is_quoted(text)))
		return "It is between quotes, or a placeholder that was not filled in.";
	return NULL;
}

const char *
text_shown(const char *text)
{
	size_t length = strnlen(text, TEXT_SHOWN + 1);
	bool is_cut = length > TEXT_SHOWN;
	char *shown;

	if (!is_cut && !text_has_controls(text))
		return text;
	if (is_cut)
		for (length = TEXT_SHOWN; length > 0 && IS_CONTINUATION(text[length]);)
			length--;
	shown = psprintf("%.*s%s", (int) length, text, is_cut ? "…" : "");
	for (unsigned char *c = (unsigned char *) shown; *c != '\0'; c++)
	{
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
		else if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0)
			c[0] = c[1] = '?';
	}
	return shown;
}

void
text_trim(const char **text, size_t *len)
{
	while (*len > 0 && strchr(" \t\r\n", **text) != NULL)
	{
		(*text)++;
		(*len)--;
	}
	while (*len > 0 && strchr(" \t\r\n", (*text)[*len - 1]) != NULL)
		(*len)--;
}
