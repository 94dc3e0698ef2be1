/*
 * text.h
 *	  What names may hold, and how what others gave is shown.
 */
#ifndef APPUSER_CONNECTORS_BASE_TEXT_H
#define APPUSER_CONNECTORS_BASE_TEXT_H

/*
 * Does UTF-8 text hold a control character (C0, DEL, C1)?  In a name it could make two
 * look like one, or a line of its own in a log.
 */
extern bool text_has_controls(const char *text);

/*
 * A name that somebody gave, fit for an error: cut after TEXT_SHOWN bytes, at a whole
 * character, with '?' for control characters.  The text itself where it is short enough, else palloc'ed.
 */
#define TEXT_SHOWN 256
extern const char *text_shown(const char *text);

#endif
