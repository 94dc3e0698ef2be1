/*
 * retry_after.c
 *	  The Retry-After header (RFC 9110 §10.2.3), in seconds or as a date.
 *
 * Pure functions over bytes; nothing a provider sends is trusted.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "oauth/date.h"
#include "oauth/retry_after.h"

#define MAX_RETRY_AFTER 86400

static int month_number(const char *name);
static bool parse_http_date(const char *value, int64_t now, int64_t *when);

static int
month_number(const char *name)
{
	static const char *const names[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
										"Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	int i;

	for (i = 0; i < (int) lengthof(names); i++)
	{
		if (strcmp(name, names[i]) == 0)
			return i + 1;
	}
	return 0;
}

/* RFC 9110 §5.6.7: all three forms */
static bool
parse_http_date(const char *value, int64_t now, int64_t *when)
{
	char month_name[4];
	int year;
	int month;
	int day;
	int hour;
	int minute;
	int second;
	int end = -1;

	if (sscanf(value, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &day, month_name, &year,
			   &hour, &minute, &second, &end) == 6 &&
		end > 0)
		;
	else if (sscanf(value, "%*9[A-Za-z], %2d-%3[A-Za-z]-%2d %2d:%2d:%2d GMT%n", &day, month_name,
					&year, &hour, &minute, &second, &end) == 6 &&
			 end > 0)
	{
		/* more than 50 years ahead is the past century */
		year += 2000;
		if (seconds_of_date(year, 1, 1) > now + (int64_t) 50 * 366 * 86400)
			year -= 100;
	}
	else if (sscanf(value, "%*3[A-Za-z] %3[A-Za-z] %2d %2d:%2d:%2d %4d%n", month_name, &day, &hour,
					&minute, &second, &year, &end) == 6 &&
			 end > 0)
		;
	else
		return false;

	month = month_number(month_name);
	if (value[end + (int) strspn(value + end, " \t")] != '\0' || month == 0 || year < 1900 ||
		day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
		second > 60)
		return false;
	*when = seconds_of_date(year, month, day) + hour * 3600 + minute * 60 + second;
	return true;
}

int
parse_retry_after(const char *value, int64_t now)
{
	int64_t seconds = 0;
	size_t digits;
	size_t i;

	if (value == NULL)
		return -1;
	value += strspn(value, " \t");
	digits = strspn(value, "0123456789");
	if (digits > 0)
	{
		const char *rest = value + digits;
		bool fraction = false;

		/* a fraction, which nobody is to send, and some do: rounded up */
		if (*rest == '.')
			for (rest++; *rest >= '0' && *rest <= '9'; rest++)
				fraction |= *rest != '0';
		if (rest[strspn(rest, " \t")] != '\0')
			return -1;
		for (i = 0; i < digits && seconds <= MAX_RETRY_AFTER; i++)
			seconds = seconds * 10 + (value[i] - '0');
		seconds += fraction;
	}
	else
	{
		if (!parse_http_date(value, now, &seconds))
			return -1;
		seconds -= now;
	}
	if (seconds < 0)
		return 0;
	return seconds > MAX_RETRY_AFTER ? MAX_RETRY_AFTER : (int) seconds;
}
