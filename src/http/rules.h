/*
 * rules.h
 *	  What transfers are under: a policy, and the authorities it names, as they were
 *	  when it was set.
 */
#ifndef APPUSER_CONNECTORS_HTTP_RULES_H
#define APPUSER_CONNECTORS_HTTP_RULES_H

#include "http/message.h"

/* An HttpPolicy with copies of its strings */
typedef struct HttpRules
{
	bool allow_insecure_loopback;
	char *allowed_networks;
	char *allowed_hosts;
	char *ca_file;
	char *authorities; /* what ca_file held, PEM; NULL when it cannot be read */
	long connect_timeout_ms;
	long request_timeout_ms;
	char *proxy;             /* "" for none; without the credentials */
	char *proxy_credentials; /* "user:password", percent-encoded, or NULL */
	char *no_proxy;
	bool proxy_unknown;
} HttpRules;

/* Fills the rules, reading ca_file; false out of memory.  To be freed either way. */
extern bool http_rules_make(HttpRules *rules, const HttpPolicy *policy);
extern void http_rules_free(HttpRules *rules);
extern bool http_rules_same(const HttpRules *a, const HttpRules *b);

#endif
