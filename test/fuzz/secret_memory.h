/*
 * secret_memory.h
 *	  Secret memory that remembers what it gave out, instead of src/secret.c, for
 *	  fuzz targets that check that no copy of a secret is left behind.
 */
#ifndef APPUSER_CONNECTORS_SECRET_MEMORY_H
#define APPUSER_CONNECTORS_SECRET_MEMORY_H

#include "check.h"
#include "base/secret.h"

#define MAX_SECRETS 4096

static struct
{
	char *bytes;
	size_t size;
	size_t cleansed;
} secrets[MAX_SECRETS];
static int n_secrets;

static void forget_secrets(void);

char *
secret_alloc(size_t size)
{
	char *bytes = malloc(size + 1);

	CHECK(bytes != NULL && n_secrets < MAX_SECRETS);
	memset(bytes, 0x55, size);
	bytes[size] = '\0';
	secrets[n_secrets].bytes = bytes;
	secrets[n_secrets].size = size;
	secrets[n_secrets].cleansed = 0;
	n_secrets++;
	return bytes;
}

char *
secret_copy(const char *bytes, size_t len)
{
	char *copy = secret_alloc(len);

	memcpy(copy, bytes, len);
	return copy;
}

void
secret_cleanse(void *bytes, size_t len)
{
	int i;

	memset(bytes, 0, len);
	for (i = 0; i < n_secrets; i++)
	{
		if (secrets[i].bytes == bytes && secrets[i].cleansed < len)
			secrets[i].cleansed = len;
	}
}

/* What was written into a chunk, up to its NUL, must have been overwritten. */
static void
forget_secrets(void)
{
	int i;
	size_t j;

	for (i = 0; i < n_secrets; i++)
	{
		for (j = secrets[i].cleansed; j < secrets[i].size && secrets[i].bytes[j] != '\0'; j++)
			CHECK(secrets[i].bytes[j] == 0x55);
		free(secrets[i].bytes);
	}
	n_secrets = 0;
}

#endif
