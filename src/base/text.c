/*
 * text.c
 *	  What names may hold, and how what others gave is shown.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

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
