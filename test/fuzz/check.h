/*
 * check.h
 *	  What fuzz targets check: each is a promise of a header.
 */
#ifndef APPUSER_CONNECTORS_CHECK_H
#define APPUSER_CONNECTORS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
	do                                                                                             \
	{                                                                                              \
		if (!(condition))                                                                          \
		{                                                                                          \
			fprintf(stderr, "%s line %d: %s\n", __FILE__, __LINE__, #condition);                   \
			abort();                                                                               \
		}                                                                                          \
	} while (0)

#endif
