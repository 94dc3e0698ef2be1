/*
 * date.h
 *	  Dates as providers write them.
 */
#ifndef APPUSER_CONNECTORS_OAUTH_DATE_H
#define APPUSER_CONNECTORS_OAUTH_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "oauth/client.h"

/* Unix seconds at midnight UTC, of the proleptic Gregorian calendar */
extern int64_t seconds_of_date(int year, int month, int day);

/*
 * Unix seconds of a text, cut off below a second; false: it is not of the format, or before
 * 1970 or after 9999.
 */
extern bool parse_date(const char *text, DateFormat format, int64_t *when);

#endif
