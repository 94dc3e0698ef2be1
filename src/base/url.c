/*
 * url.c
 *	  Checking and taking apart URLs that admins and callers give, with
 *	  libcurl's URL API: the parser that decides is the one that will connect.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include <ctype.h>

#include <curl/curl.h>

#include "base/settings.h"
#include "base/text.h"
#include "base/url.h"

/* A URL taken apart; palloc'ed, NULL where absent */
typedef struct UrlParts
{
	char *scheme;
	char *user;
	char *password;
	char *host;
	char *port;
	char *fragment;
} UrlParts;

static const char not_https[] = "Its scheme is not https.";

static bool url_parse(const char *url, UrlParts *parts);
static bool is_loopback(const char *host);

/* libcurl's string as ours, so that an error cannot leak it. */
static char *
take_part(CURLU *handle, CURLUPart part, unsigned int flags)
{
	char *value;
	char *copy = NULL;

	if (curl_url_get(handle, part, &value, flags) != CURLUE_OK)
		return NULL;
	copy = palloc_extended(strlen(value) + 1, MCXT_ALLOC_NO_OOM);
	if (copy != NULL)
		strcpy(copy, value);
	curl_free(value);
	return copy;
}

static bool
url_parse(const char *url, UrlParts *parts)
{
	CURLU *handle;
	const char *authority;
	size_t length;
	bool parsed;

	memset(parts, 0, sizeof(UrlParts));
	if (strlen(url) > URL_MAX_BYTES)
		return false;
	for (const char *c = url; *c != '\0'; c++)
		if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f || *c == '\\' || *c == '"' ||
			*c == '<' || *c == '>')
			return false;

	/* libcurl decodes "%2e" in a host, and reads "https:/host" and "https:///host" */
	authority = strchr(url, ':');
	if (authority == NULL || strncmp(authority, "://", 3) != 0)
		return false;
	length = strcspn(authority + 3, "/?#");
	if (length == 0 || memchr(authority + 3, '%', length) != NULL)
		return false;

	handle = curl_url();
	if (handle == NULL)
		return false;
	parsed = curl_url_set(handle, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK;
	if (parsed)
	{
		parts->scheme = take_part(handle, CURLUPART_SCHEME, 0);
		parts->user = take_part(handle, CURLUPART_USER, 0);
		parts->password = take_part(handle, CURLUPART_PASSWORD, 0);
		parts->host = take_part(handle, CURLUPART_HOST, 0);
		parts->port = take_part(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
		parts->fragment = take_part(handle, CURLUPART_FRAGMENT, 0);
	}
	curl_url_cleanup(handle);
	return parsed && parts->scheme != NULL;
}

static bool
is_loopback(const char *host)
{
	return pg_strcasecmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
		   strcmp(host, "[::1]") == 0;
}

/* An empty one counts too. */
static bool
has_userinfo(const char *url, const UrlParts *parts)
{
	const char *authority = strstr(url, "://");

	return parts->user != NULL || parts->password != NULL ||
		   (authority != NULL && memchr(authority + 3, '@', strcspn(authority + 3, "/?#")) != NULL);
}

/* Of what is no URL, as precisely as it can be said */
static const char *
text_problem(const char *url)
{
	const char *pasted = text_pasted_problem(url, false);

	if (pasted != NULL)
		return pasted;
	for (const char *c = url; *c != '\0'; c++)
		if ((unsigned char) *c >= 0x80)
			return "It holds a character beyond ASCII; a host is written as xn--…, the rest with "
				   "percent signs.";
	return NULL;
}

const char *
url_endpoint_problem(const char *url)
{
	UrlParts parts;

	if (strlen(url) > URL_MAX_BYTES)
		return "It is longer than 2048 bytes.";
	if (text_problem(url) != NULL)
		return text_problem(url);
	if (!url_parse(url, &parts))
		return "It is not a URL.";
	if (parts.host == NULL || parts.host[0] == '\0')
		return "It has no host.";
	if (has_userinfo(url, &parts))
		return "It holds a user name or password.";
	if (parts.fragment != NULL || strchr(url, '#') != NULL)
		return "It has a fragment.";
	if (pg_strcasecmp(parts.scheme, "https") == 0)
		return NULL;
	if (pg_strcasecmp(parts.scheme, "http") == 0 && guc_allow_insecure_loopback &&
		is_loopback(parts.host))
		return NULL;
	return not_https;
}

const char *
url_endpoint_hint(const char *url)
{
	UrlParts parts;

	if (url_endpoint_problem(url) != not_https || !url_parse(url, &parts) ||
		pg_strcasecmp(parts.scheme, "http") != 0)
		return NULL;
	if (is_loopback(parts.host))
		return "For a provider on this machine, in development, a superuser sets "
			   "appuser_connectors.allow_insecure_loopback = on and reloads; else give its https "
			   "URL.";
	return "Give its https URL: no setting allows http to another machine.";
}

const char *
url_redirect_problem(const char *url)
{
	UrlParts parts;

	if (strlen(url) > URL_MAX_BYTES)
		return "It is longer than 2048 bytes.";
	if (text_problem(url) != NULL)
		return text_problem(url);
	if (strchr(url, '#') != NULL)
		return "It has a fragment."; /* RFC 6749 §3.1.2 */

	/* com.example.app:/callback has no authority for libcurl to parse */
	if (strncmp(url, "http:", 5) != 0 && strncmp(url, "https:", 6) != 0)
	{
		const char *colon = strchr(url, ':');
		bool dotted = false;

		for (const char *c = url; *c != '\0'; c++)
			if ((unsigned char) *c <= 0x20 || (unsigned char) *c >= 0x7f || *c == '\\')
				return "It is not a URL.";
		if (colon == NULL || !isalpha((unsigned char) url[0]))
			return "It is not a URL.";
		for (const char *c = url; c < colon; c++)
		{
			if (!isalnum((unsigned char) *c) && strchr("+-.", *c) == NULL)
				return "It is not a URL.";
			dotted |= *c == '.';
		}
		if (has_userinfo(url, &(UrlParts){0}))
			return "It holds a user name or password.";
		return dotted ? NULL : "Its scheme is neither https nor a reversed domain name.";
	}

	if (!url_parse(url, &parts) || parts.host == NULL || parts.host[0] == '\0')
		return "It is not a URL.";
	if (has_userinfo(url, &parts))
		return "It holds a user name or password.";
	if (strcmp(parts.scheme, "http") == 0 && !is_loopback(parts.host))
		return "Its scheme is http, which is for loopback addresses only.";
	return NULL;
}

const char *
url_proxy_problem(const char *url, bool may_have_user)
{
	const char *authority = strstr(url, "://");
	const char *at = authority != NULL ? strrchr(authority, '@') : NULL;
	UrlParts parts;

	if (strlen(url) > URL_MAX_BYTES)
		return "It is longer than 2048 bytes.";
	if (text_problem(url) != NULL)
		return text_problem(url);
	if (at != NULL)
	{
		if (!may_have_user)
			return "It holds a user name or password.";
		authority += strlen("://");
		for (const char *c = authority; c < at; c++)
			if (!isalnum((unsigned char) *c) && strchr("-._~!$&'()*+,;=:", *c) == NULL &&
				!(*c == '%' && isxdigit((unsigned char) c[1]) && isxdigit((unsigned char) c[2])))
				return "Its user name or password holds a character that is written with a "
					   "percent sign.";
		/* without them, of which no copy is to be made */
		url = psprintf("%.*s%s", (int) (authority - url), url, at + 1);
		authority = strstr(url, "://");
	}
	if (!url_parse(url, &parts) || parts.host == NULL || parts.host[0] == '\0')
		return "It is not a URL.";
	if (pg_strcasecmp(parts.scheme, "http") != 0 && pg_strcasecmp(parts.scheme, "https") != 0)
		return "Its scheme is neither http nor https.";
	authority += strlen("://");
	at = authority + strcspn(authority, "/?#");
	if (at[0] != '\0' && strcmp(at, "/") != 0)
		return "Something follows its port.";
	while (isdigit((unsigned char) at[-1]))
		at--;
	return at[-1] == ':' && isdigit((unsigned char) at[0]) ? NULL : "It has no port.";
}

char *
url_origin(const char *url)
{
	UrlParts parts;
	char *origin;

	if (!url_parse(url, &parts) || parts.host == NULL || parts.host[0] == '\0' ||
		parts.port == NULL)
		return NULL;
	origin = psprintf("%s://%s:%s", parts.scheme, parts.host, parts.port);
	for (char *c = origin; *c != '\0'; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return origin;
}

char *
url_host(const char *url)
{
	UrlParts parts;
	size_t length;

	if (!url_parse(url, &parts) || parts.host == NULL)
		return NULL;
	length = strlen(parts.host);
	return parts.host[0] == '[' ? pnstrdup(parts.host + 1, length - 2) : parts.host;
}

/*
 * What follows the authority, byte for byte, is compared as it was given: it is sent so,
 * and browser and provider each have a parser of their own.
 */
bool
url_redirect_matches(const char *registered, const char *given)
{
	static const char scheme[] = "http://";
	const size_t start = strlen(scheme);
	UrlParts r;
	UrlParts g;

	if (strcmp(registered, given) == 0)
		return true;
	if (strncmp(registered, scheme, start) != 0 || url_redirect_problem(registered) != NULL ||
		url_redirect_problem(given) != NULL || !url_parse(registered, &r) || !url_parse(given, &g))
		return false;
	return strcmp(g.scheme, r.scheme) == 0 && is_loopback(r.host) && strcmp(r.host, g.host) == 0 &&
		   strcmp(registered + start + strcspn(registered + start, "/?#"),
				  given + start + strcspn(given + start, "/?#")) == 0;
}

/* The length of a segment's beginning that a URL parser reads as one "." (WHATWG URL §4.1) */
static size_t
dot_length(const char *segment)
{
	if (*segment == '.')
		return 1;
	return pg_strncasecmp(segment, "%2e", 3) == 0 ? 3 : 0;
}

/* Is the segment that begins there "." or ".."? */
static bool
is_dot_segment(const char *segment)
{
	size_t first = dot_length(segment);
	size_t second = first > 0 ? dot_length(segment + first) : 0;
	char end = segment[first + second];

	return first > 0 && (end == '\0' || end == '/' || end == '?' || end == '#');
}

/*
 * A browser takes "/\\host" and "/<tab>/host" for another host, and "/.//host" becomes
 * "//host" once it is normalised, as applications do that send it on.  So nothing is
 * taken that a parser would change, nor a slash in disguise at its beginning.
 */
bool
url_is_local_path(const char *path)
{
	if (path[0] != '/' || path[1] == '/' || pg_strncasecmp(path + 1, "%2f", 3) == 0 ||
		pg_strncasecmp(path + 1, "%5c", 3) == 0)
		return false;
	for (const char *c = path; *c != '\0'; c++)
		if ((unsigned char) *c < 0x20 || *c == 0x7f || *c == '\\')
			return false;
	for (const char *c = path; *c != '\0' && *c != '?' && *c != '#'; c++)
		if (*c == '/' && is_dot_segment(c + 1))
			return false;
	return true;
}
