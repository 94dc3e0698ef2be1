/*
 * rules.c
 *	  What transfers are under.  Knows nothing of libcurl.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/rules.h"

#define MAX_AUTHORITIES_FILE (16 * 1024 * 1024)

static char *read_authorities(const char *path);

bool
http_rules_make(HttpRules *rules, const HttpPolicy *policy)
{
	rules->allow_insecure_loopback = policy->allow_insecure_loopback;
	rules->allowed_networks = strdup(policy->allowed_networks);
	rules->allowed_hosts = strdup(policy->allowed_hosts);
	rules->ca_file = strdup(policy->ca_file);
	rules->authorities = read_authorities(policy->ca_file);
	rules->connect_timeout_ms = policy->connect_timeout_ms;
	rules->request_timeout_ms = policy->request_timeout_ms;
	return rules->allowed_networks != NULL && rules->allowed_hosts != NULL &&
		   rules->ca_file != NULL;
}

void
http_rules_free(HttpRules *rules)
{
	free(rules->allowed_networks);
	free(rules->allowed_hosts);
	free(rules->ca_file);
	free(rules->authorities);
}

bool
http_rules_same(const HttpRules *a, const HttpRules *b)
{
	return a->allow_insecure_loopback == b->allow_insecure_loopback &&
		   strcmp(a->allowed_networks, b->allowed_networks) == 0 &&
		   strcmp(a->allowed_hosts, b->allowed_hosts) == 0 && strcmp(a->ca_file, b->ca_file) == 0 &&
		   (a->authorities == NULL) == (b->authorities == NULL) &&
		   (a->authorities == NULL || strcmp(a->authorities, b->authorities) == 0) &&
		   a->connect_timeout_ms == b->connect_timeout_ms &&
		   a->request_timeout_ms == b->request_timeout_ms;
}

/* "" when there is no file to read, NULL when it cannot be read. */
static char *
read_authorities(const char *path)
{
	FILE *file;
	char *text = NULL;
	size_t len = 0;
	size_t capacity = 0;

	if (path[0] == '\0')
		return strdup("");
	file = fopen(path, "re");
	if (file == NULL)
		return NULL;
	for (;;)
	{
		char *larger;
		size_t got;

		capacity = capacity == 0 ? 8192 : capacity * 2;
		larger = capacity <= MAX_AUTHORITIES_FILE ? realloc(text, capacity) : NULL;
		if (larger == NULL)
			break;
		text = larger;
		got = fread(text + len, 1, capacity - 1 - len, file);
		len += got;
		text[len] = '\0';
		if (len < capacity - 1)
			break;
	}
	/* a file without a certificate is a mistake, not an empty list */
	if (text == NULL || ferror(file) || len + 1 >= capacity || strstr(text, "-----BEGIN ") == NULL)
	{
		free(text);
		text = NULL;
	}
	fclose(file);
	return text;
}
