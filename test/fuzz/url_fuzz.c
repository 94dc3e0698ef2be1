/* sources: src/base/url.c src/base/text.c */

/*
 * url_fuzz.c
 *	  Any text as an endpoint of a provider, a redirect URI or a place to return
 *	  to: what is accepted leads where it seems to.
 *
 * The input is one text, and for two arguments it is cut at its first line end.
 */
#include "check.h"
#include "palloc_arena.h"

#include <curl/curl.h>

#include "base/settings.h"
#include "base/url.h"

bool guc_allow_insecure_loopback = false;

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
static bool is_loopback_origin(const char *origin);
static void check_endpoint(const char *url);
static void check_redirect(const char *url);
static void check_match(const char *registered, const char *given);
static void check_local_path(const char *path);

static bool
is_loopback_origin(const char *origin)
{
	return strncmp(origin, "http://localhost:", 17) == 0 ||
		   strncmp(origin, "http://127.0.0.1:", 17) == 0 ||
		   strncmp(origin, "http://[::1]:", 13) == 0;
}

static void
check_endpoint(const char *url)
{
	const char *problem;
	char *origin;
	char *again;

	guc_allow_insecure_loopback = false;
	problem = url_endpoint_problem(url);
	origin = url_origin(url);
	if (origin != NULL)
	{
		again = url_origin(origin);
		CHECK(again != NULL && strcmp(again, origin) == 0);
	}
	if (problem == NULL)
	{
		CHECK(origin != NULL && strncmp(origin, "https://", 8) == 0);
		CHECK(strpbrk(url, "\r\n\t \\\"<>#") == NULL);
		CHECK(pg_strncasecmp(url, "https://", 8) == 0);
		CHECK(strcspn(url + 8, "/?%") != 0 && url[8 + strcspn(url + 8, "/?%")] != '%');
		CHECK(strpbrk(origin, "@/?") == origin + strlen("https:"));
	}
	guc_allow_insecure_loopback = true;
	if (problem != NULL && url_endpoint_problem(url) == NULL)
		CHECK(is_loopback_origin(origin));
}

static void
check_redirect(const char *url)
{
	char *origin;

	if (url_redirect_problem(url) != NULL)
		return;
	CHECK(strpbrk(url, "\r\n\t \\#") == NULL);
	if (strncmp(url, "http", 4) == 0 && (url[4] == ':' || url[4] == 's'))
	{
		origin = url_origin(url);
		if (strncmp(url, "http:", 5) == 0)
			CHECK(origin != NULL && is_loopback_origin(origin));
		else if (strncmp(url, "https:", 6) == 0)
			CHECK(origin != NULL && strncmp(origin, "https://", 8) == 0);
	}
	else
		CHECK(strchr(url, '.') < strchr(url, ':'));
}

/* Of a URL as libcurl reads it; empty when absent */
static const char *
part_of(const char *url, CURLUPart part)
{
	CURLU *handle = curl_url();
	char *value = NULL;
	const char *copy;

	CHECK(curl_url_set(handle, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK);
	copy = curl_url_get(handle, part, &value, 0) == CURLUE_OK ? psprintf("%s", value) : "";
	curl_free(value);
	curl_url_cleanup(handle);
	return copy;
}

/* Cut in two, as http/rules.c does, it is the host and port that libcurl reads. */
static void
check_proxy(const char *url)
{
	const char *authority = strstr(url, "://");
	const char *at = strrchr(url, '@');
	const char *bare = url;

	if (url_proxy_problem(url, true) != NULL)
		return;
	CHECK((at == NULL) == (url_proxy_problem(url, false) == NULL));
	CHECK(strpbrk(url, "\r\n\t \\#?") == NULL);
	if (at != NULL)
		bare = psprintf("%.*s%s", (int) (authority + 3 - url), url, at + 1);
	CHECK(url_proxy_problem(bare, false) == NULL);
	CHECK(part_of(url, CURLUPART_HOST)[0] != '\0' && part_of(url, CURLUPART_PORT)[0] != '\0');
	CHECK(strcmp(part_of(url, CURLUPART_HOST), part_of(bare, CURLUPART_HOST)) == 0);
	CHECK(strcmp(part_of(url, CURLUPART_PORT), part_of(bare, CURLUPART_PORT)) == 0);
	CHECK(strcmp(part_of(url, CURLUPART_PATH), "/") == 0);
}

static void
check_match(const char *registered, const char *given)
{
	CHECK(url_redirect_matches(registered, registered));
	if (strcmp(registered, given) != 0 && url_redirect_matches(registered, given))
	{
		CURLUPart same[] = {CURLUPART_SCHEME, CURLUPART_USER,  CURLUPART_PASSWORD, CURLUPART_HOST,
							CURLUPART_PATH,   CURLUPART_QUERY, CURLUPART_FRAGMENT};

		for (size_t i = 0; i < lengthof(same); i++)
			CHECK(strcmp(part_of(registered, same[i]), part_of(given, same[i])) == 0);
		CHECK(strchr(given, '#') == NULL);
		CHECK(is_loopback_origin(url_origin(registered)));
		CHECK(is_loopback_origin(url_origin(given)));
	}
}

/* As a browser resolves it, against any base */
static void
check_local_path(const char *path)
{
	CURLU *handle;
	char *host;

	if (!url_is_local_path(path))
		return;
	CHECK(path[0] == '/' && path[1] != '/' && strpbrk(path, "\\\r\n\t") == NULL);
	handle = curl_url();
	CHECK(curl_url_set(handle, CURLUPART_URL, "https://app.example/somewhere", 0) == CURLUE_OK);
	if (curl_url_set(handle, CURLUPART_URL, path, CURLU_URLENCODE) == CURLUE_OK)
	{
		CHECK(curl_url_get(handle, CURLUPART_HOST, &host, 0) == CURLUE_OK);
		CHECK(strcmp(host, "app.example") == 0);
		curl_free(host);
		/* normalised it is a path still, not "//host" */
		CHECK(curl_url_get(handle, CURLUPART_PATH, &host, 0) == CURLUE_OK);
		CHECK(host[0] == '/' && host[1] != '/');
		curl_free(host);
	}
	curl_url_cleanup(handle);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	char *second;

	memcpy(text, data, size);
	text[size] = '\0';
	check_endpoint(text);
	check_redirect(text);
	check_local_path(text);
	check_proxy(text);
	second = text + strcspn(text, "\n");
	if (*second != '\0')
		*second++ = '\0';
	check_match(text, second);
	free(text);
	arena_reset();
	return 0;
}
