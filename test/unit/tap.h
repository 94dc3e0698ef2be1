/*
 * tap.h
 *	  Test Anything Protocol for the unit tests: one line a promise.
 */
#ifndef APPUSER_CONNECTORS_TAP_H
#define APPUSER_CONNECTORS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int tap_count = 0;
static int tap_failed = 0;

__attribute__((format(printf, 4, 5))) static inline bool
tap_ok(bool passed, const char *file, int line, const char *format, ...)
{
	va_list args;

	printf("%sok %d - ", passed ? "" : "not ", ++tap_count);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	if (!passed)
	{
		tap_failed++;
		printf("#   at %s line %d\n", file, line);
	}
	fflush(stdout);
	return passed;
}

/* What is promised and not yet kept: the text says " # TODO why" at its end. */
#define todo(condition, ...)                                                                       \
	do                                                                                             \
	{                                                                                              \
		int failed = tap_failed;                                                                   \
		ok(condition, __VA_ARGS__);                                                                \
		tap_failed = failed;                                                                       \
	} while (0)

#define ok(condition, ...) tap_ok((condition), __FILE__, __LINE__, __VA_ARGS__)

static inline int
tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed == 0 ? 0 : 1;
}

#endif
