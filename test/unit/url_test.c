/* sources: src/base/url.c src/base/text.c */

/*
 * url_test.c
 *	  Which redirect URIs are another port of the same, which paths stay paths, and how
 *	  names are shown.
 */
#include "postgres_fe.h"

#include "base/settings.h"
#include "base/text.h"
#include "base/url.h"
#include "tap.h"

bool guc_allow_insecure_loopback = false;

static void
matches(bool expected, const char *registered, const char *given)
{
	ok(url_redirect_matches(registered, given) == expected, "%s is %s%s", given,
	   expected ? "" : "not ", registered);
}

static void
test_redirects(void)
{
	matches(true, "https://app.example/cb", "https://app.example/cb");
	matches(false, "https://app.example/cb", "https://app.example:444/cb");
	matches(true, "com.example.app:/cb", "com.example.app:/cb");
	matches(false, "com.example.app:/cb", "com.example.app:80/cb");
	for (int i = 0; i < 3; i++)
	{
		const char *host = (const char *[]){"localhost", "127.0.0.1", "[::1]"}[i];
		const char *registered = psprintf("http://%s/cb", host);
		static const struct
		{
			bool matches;
			const char *given;
		} cases[] = {{true, "http://%s:99/cb"},
					 {true, "http://%s:1/cb"},
					 {false, "http://%s:99?evil=/cb"},
					 {false, "http://%s:99#/cb"},
					 {false, "http://%s:99/#/cb"},
					 {false, "http://%s:99/cb#"},
					 {false, "http://%s:99/cb?x"},
					 {false, "http://%s:99/cb/"},
					 {false, "http://%s:99//cb"},
					 {false, "http://%s:99/./cb"},
					 {false, "http://%s:99/%%63b"},
					 {false, "http://%s:99/CB"},
					 {false, "http://%s:99"},
					 {false, "http://evil@%s:99/cb"},
					 {false, "http://@%s:99/cb"},
					 {false, "http://:@%s:99/cb"},
					 {false, "http://%s:99@evil.example/cb"},
					 {false, "http://%s.evil.example:99/cb"},
					 {false, "http://%s:99\\@evil.example/cb"},
					 {false, "https://%s:99/cb"},
					 {false, "HTTP://%s:99/cb"},
					 {false, "http://%s:evil/cb"},
					 {false, "http://%s:99999999/cb"},
					 {false, "http:/%s:99/cb"},
					 {false, "http:///%s:99/cb"},
					 {false, " http://%s:99/cb"},
					 {false, "http://%s:99/cb\n"}};

		for (size_t j = 0; j < lengthof(cases); j++)
			matches(cases[j].matches, registered, psprintf(cases[j].given, host));
		matches(false, registered, "http://localhost.:99/cb");
		matches(false, psprintf("http://%s/cb?a=1", host), psprintf("http://%s:99/cb?a=2", host));
		matches(true, psprintf("http://%s:7/cb?a=1", host), psprintf("http://%s/cb?a=1", host));
	}
	matches(false, "http://localhost/cb", "http://127.0.0.1:99/cb");
	matches(false, "http://127.0.0.1/cb", "http://127.0.0.2:99/cb");
	ok(url_redirect_problem("https://app.example/cb#") != NULL &&
		   url_redirect_problem("com.example.app:/cb#") != NULL,
	   "no redirect URI has a fragment");
	ok(url_redirect_problem("https://@app.example/cb") != NULL &&
		   url_redirect_problem("https://a:b@app.example/cb") != NULL &&
		   url_redirect_problem("com.example.app://a@b/cb") != NULL &&
		   url_endpoint_problem("https://@a.example/") != NULL,
	   "nor a user, not even an empty one");
	ok(url_redirect_problem("https://app.example/cb?a=@b") == NULL &&
		   url_redirect_problem("https://app.example/@me/cb") == NULL,
	   "which elsewhere is only a character");
}

static void
test_paths(void)
{
	static const char *const fine[] = {"/",
									   "/settings",
									   "/settings?tab=2#top",
									   "/a//b",
									   "/a/b/?next=//x/../y",
									   "/a#/../x",
									   "/.well-known/x",
									   "/..a",
									   "/a./b../c",
									   "/.../x",
									   "/%2e%2e%2e/x",
									   "/%2ea/x",
									   "/a%2fb",
									   "/Zürich",
									   "/a;b=c:d@e"};
	static const char *const refused[] = {"",
										  "settings",
										  "https://evil.example/",
										  "//evil.example",
										  "///evil.example",
										  "/\\evil.example",
										  "\\/evil.example",
										  "/a\\..\\b",
										  "/.//evil.example",
										  "/./evil.example",
										  "/..//evil.example",
										  "/a/..//evil.example",
										  "/a/../..//evil.example",
										  "/a/./b",
										  "/a/..",
										  "/.",
										  "/..",
										  "/..?x",
										  "/..#x",
										  "/%2e//evil.example",
										  "/%2E//evil.example",
										  "/%2e%2E//evil.example",
										  "/.%2e//evil.example",
										  "/%2e.//evil.example",
										  "/%2f/evil.example",
										  "/%2Fevil.example",
										  "/%5cevil.example",
										  "/%5Cevil.example",
										  "/\tevil",
										  "/\t/evil.example",
										  "/\n/evil.example",
										  "/\r/evil.example",
										  "/a\r\nLocation: //evil.example",
										  "/\x01/evil.example",
										  "/\x7f",
										  " //evil.example",
										  "\t//evil.example"};

	for (size_t i = 0; i < lengthof(fine); i++)
		ok(url_is_local_path(fine[i]), "\"%s\" is a path of the application", fine[i]);
	for (size_t i = 0; i < lengthof(refused); i++)
		ok(!url_is_local_path(refused[i]), "path %zu could lead elsewhere", i);
}

static void
test_proxies(void)
{
	static const char *const fine[] = {"http://proxy.example:3128", "https://proxy.example:8443/",
									   "http://10.1.2.3:3128", "http://[fd00::1]:3128",
									   "HTTP://proxy.example:1"};
	static const char *const with_user[] = {
		"http://user:p%40ss%2fword@proxy.example:3128", "http://user@proxy.example:3128",
		"http://:x@proxy.example:3128", "http://a:b:c!$&'()*+,;=@[::1]:3128"};
	static const char *const refused[] = {"",
										  "proxy.example",
										  "proxy.example:3128",
										  "http://proxy.example",
										  "http://proxy.example:",
										  "http://proxy.example:0x1",
										  "http://[::1]",
										  "http://:3128",
										  "socks5://proxy.example:1080",
										  "http://proxy.example:3128/x",
										  "http://proxy.example:3128?x",
										  "http://proxy.example:3128#x",
										  "http://proxy.example:99999",
										  " http://proxy.example:3128",
										  "http://proxy.example:3128\n",
										  "\"http://proxy.example:3128\"",
										  "http://a b@proxy.example:3128",
										  "http://a:p%4@proxy.example:3128",
										  "http://a:p%@proxy.example:3128",
										  "http://a:p/x@proxy.example:3128",
										  "http://a:p@x@proxy.example:3128",
										  "http://proxy.example:3128/@x"};

	for (size_t i = 0; i < lengthof(fine); i++)
		ok(url_proxy_problem(fine[i], true) == NULL && url_proxy_problem(fine[i], false) == NULL,
		   "%s is a proxy", fine[i]);
	for (size_t i = 0; i < lengthof(with_user); i++)
		ok(url_proxy_problem(with_user[i], true) == NULL &&
			   url_proxy_problem(with_user[i], false) != NULL,
		   "%s is one where a password may stand", with_user[i]);
	for (size_t i = 0; i < lengthof(refused); i++)
	{
		const char *problem = url_proxy_problem(refused[i], true);

		ok(problem != NULL && url_proxy_problem(refused[i], false) != NULL, "proxy %zu is none: %s",
		   i, problem != NULL ? problem : "");
	}
}

static void
test_names(void)
{
	char long_name[1000];

	ok(!text_has_controls("") && !text_has_controls("alice") &&
		   !text_has_controls("Zoë Ünal 日本 🦊"),
	   "a name may hold any script");
	ok(text_has_controls("a\nb") && text_has_controls("\x01") && text_has_controls("a\x7f") &&
		   text_has_controls("a\xc2\x80") && text_has_controls("a\xc2\x9f"),
	   "but no control character, C1 neither");
	ok(!text_has_controls("a\xc2\xa0") && !text_has_controls("a\xc3\x80"),
	   "of which these are none");
	ok(strcmp(text_shown("alice"), "alice") == 0, "a short name is shown as it is");
	ok(strcmp(text_shown("a\nb\x7f\xc2\x85"), "a?b???") == 0, "without control characters");
	memset(long_name, 'x', sizeof(long_name));
	long_name[TEXT_SHOWN] = '\0';
	ok(strcmp(text_shown(long_name), long_name) == 0, "so is one at the bound");
	long_name[TEXT_SHOWN] = 'x';
	long_name[TEXT_SHOWN + 1] = '\0';
	ok(strlen(text_shown(long_name)) == TEXT_SHOWN + strlen("…"), "one beyond is cut");
	memcpy(long_name + TEXT_SHOWN - 1, "é", 3);
	ok(strlen(text_shown(long_name)) == TEXT_SHOWN - 1 + strlen("…"), "at a whole character");
}

int
main(void)
{
	test_redirects();
	test_paths();
	test_proxies();
	test_names();
	return tap_done();
}
