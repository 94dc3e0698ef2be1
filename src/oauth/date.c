/*
 * date.c
 *	  Dates as providers write them: RFC 3339, and numbers since 1970.
 *
 * Pure functions; must not do I/O or raise errors.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "common/jsonapi.h"

#include "oauth/date.h"

#define MAX_DATE INT64CONST(253402300799) /* the end of 9999 */
#define MAX_NUMBER 32                     /* characters */

static bool parse_rfc3339(const char *text, int64_t *when);
static bool parse_number(const char *text, double unit, int64_t *when);
static bool parse_offset(const char *text, int *minutes);

int64_t
seconds_of_date(int year, int month, int day)
{
	/* years that begin in March have their leap day last */
	int64_t y = month <= 2 ? year - 1 : year;
	int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return (y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468) * 86400;
}

/* "Z", "+01:00" or, as some write it, "+0100" */
static bool
parse_offset(const char *text, int *minutes)
{
	int hours;
	int rest;
	int end = -1;

	*minutes = 0;
	if ((text[0] == 'Z' || text[0] == 'z') && text[1] == '\0')
		return true;
	if ((text[0] != '+' && text[0] != '-') || strspn(text + 1, "0123456789:") != strlen(text + 1))
		return false;
	if ((sscanf(text + 1, "%2d:%2d%n", &hours, &rest, &end) != 2 || end != 5 || text[6] != '\0') &&
		(sscanf(text + 1, "%2d%2d%n", &hours, &rest, &end) != 2 || end != 4 || text[5] != '\0'))
		return false;
	*minutes = (hours * 60 + rest) * (text[0] == '-' ? -1 : 1);
	return hours < 24 && rest < 60;
}

/* §5.6; a leap second is the one before */
static bool
parse_rfc3339(const char *text, int64_t *when)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	int year;
	int month;
	int day;
	int hour;
	int minute;
	int second;
	int offset;

	for (int i = 0; form[i] != '\0'; i++)
		if (form[i] == 'd'   ? text[i] < '0' || text[i] > '9'
			: form[i] == 'T' ? text[i] == '\0' || strchr("Tt ", text[i]) == NULL
							 : text[i] != form[i])
			return false;
	if (sscanf(text, "%4d-%2d-%2d%*c%2d:%2d:%2d", &year, &month, &day, &hour, &minute, &second) !=
		6)
		return false;
	text += strlen(form);
	if (*text == '.')
	{
		size_t digits = strspn(text + 1, "0123456789");

		if (digits == 0)
			return false;
		text += 1 + digits;
	}
	if (!parse_offset(text, &offset) || month < 1 || month > 12 || day < 1 || day > 31 ||
		hour > 23 || minute > 59 || second > 60)
		return false;
	*when = seconds_of_date(year, month, day) + hour * 3600 + minute * 60 + Min(second, 59) -
			offset * 60;
	return true;
}

/* As JSON writes it; nothing that goes on with the number follows it */
static bool
parse_number(const char *text, double unit, int64_t *when)
{
	size_t len = strlen(text);
	double number;

	if (len > MAX_NUMBER || !IsValidJsonNumber(text, (int) len))
		return false;
	number = strtod(text, NULL) / unit;
	if (!(number >= 0 && number <= (double) MAX_DATE))
		return false;
	*when = (int64_t) number;
	return true;
}

bool
parse_date(const char *text, DateFormat format, int64_t *when)
{
	int64_t found;
	bool parsed = format == DATE_RFC3339
					  ? parse_rfc3339(text, &found)
					  : parse_number(text, format == DATE_EPOCH ? 1 : 1000, &found);

	if (!parsed || found < 0 || found > MAX_DATE)
		return false;
	*when = found;
	return true;
}
