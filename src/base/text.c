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
	size_t length = TEXT_SHOWN;

	if (strnlen(text, TEXT_SHOWN + 1) <= TEXT_SHOWN)
		return text;
	while (length > 0 && IS_CONTINUATION(text[length]))
		length--;
	return psprintf("%.*s…", (int) length, text);
}
