/*
 * text.h
 *	  What names may hold, and how what others gave is shown.
 */
#ifndef APPUSER_CONNECTORS_BASE_TEXT_H
#define APPUSER_CONNECTORS_BASE_TEXT_H

#include <stdbool.h>
#include <string.h>

/* NULL equals NULL only. */
static inline bool
text_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * Does UTF-8 text hold a control character (C0, DEL, C1)?  In a name it could make two
 * look like one, or a line of its own in a log.
 */
extern bool text_has_controls(const char *text);

/*
 * What came along when a text was pasted that others compare byte by byte (an id, a secret,
 * a URL, a scope): white space at its ends, quotes around it, characters that nobody sees.
 * A sentence, palloc'ed or constant, that shows nothing of the text; NULL when there is
 * nothing of that.  With may_be_quoted, as a secret may be, ASCII quotes are let pass.
 */
extern const char *text_pasted_problem(const char *text, bool may_be_quoted);

/* Does it begin and end with the same ASCII quote, with something between them? */
extern bool text_is_quoted(const char *text);

/* What to do about it, for all of them */
#define TEXT_PASTED_HINT "Give it letter by letter, without what was copied along with it."

/*
 * A name that somebody gave, fit for an error: cut after TEXT_SHOWN bytes, at a whole
 * character, with '?' for control characters.  The text itself where it is short enough, else palloc'ed.
 */
#define TEXT_SHOWN 256
extern const char *text_shown(const char *text);

/* Leaves out white space at both ends. */
extern void text_trim(const char **text, size_t *len);

#endif
