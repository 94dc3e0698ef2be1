/*
 * rules.c
 *	  What transfers are under.  Knows nothing of libcurl.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "base/text.h"
#include "http/rules.h"

#define MAX_AUTHORITIES_FILE (16 * 1024 * 1024)

static char *read_authorities(const char *path);
static bool take_proxy(HttpRules *rules, const char *url);

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
	rules->no_proxy = strdup(policy->no_proxy != NULL ? policy->no_proxy : "");
	rules->proxy_unknown = policy->proxy_unknown;
	return take_proxy(rules, policy->proxy != NULL ? policy->proxy : "") &&
		   rules->allowed_networks != NULL && rules->allowed_hosts != NULL &&
		   rules->ca_file != NULL && rules->no_proxy != NULL;
}

/* Apart from what libcurl says of the URL in an error, credentials must be. */
static bool
take_proxy(HttpRules *rules, const char *url)
{
	const char *authority = strstr(url, "://");
	const char *at = authority != NULL ? strrchr(authority, '@') : NULL;
	size_t scheme_len;
	size_t credentials_len;

	if (at == NULL)
		return (rules->proxy = strdup(url)) != NULL;
	authority += strlen("://");
	scheme_len = (size_t) (authority - url);
	credentials_len = (size_t) (at - authority);
	rules->proxy = malloc(scheme_len + strlen(at + 1) + 1);
	rules->proxy_credentials = calloc(1, credentials_len + 1);
	if (rules->proxy == NULL || rules->proxy_credentials == NULL)
		return false;
	memcpy(rules->proxy_credentials, authority, credentials_len);
	memcpy(rules->proxy, url, scheme_len);
	strcpy(rules->proxy + scheme_len, at + 1);
	return true;
}

void
http_rules_free(HttpRules *rules)
{
	free(rules->allowed_networks);
	free(rules->allowed_hosts);
	free(rules->ca_file);
	free(rules->authorities);
	free(rules->proxy);
	if (rules->proxy_credentials != NULL)
		OPENSSL_cleanse(rules->proxy_credentials, strlen(rules->proxy_credentials));
	free(rules->proxy_credentials);
	free(rules->no_proxy);
}

bool
http_rules_same(const HttpRules *a, const HttpRules *b)
{
	return a->allow_insecure_loopback == b->allow_insecure_loopback &&
		   strcmp(a->allowed_networks, b->allowed_networks) == 0 &&
		   strcmp(a->allowed_hosts, b->allowed_hosts) == 0 && strcmp(a->ca_file, b->ca_file) == 0 &&
		   text_equal(a->authorities, b->authorities) && text_equal(a->proxy, b->proxy) &&
		   text_equal(a->proxy_credentials, b->proxy_credentials) &&
		   text_equal(a->no_proxy, b->no_proxy) && a->proxy_unknown == b->proxy_unknown &&
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
